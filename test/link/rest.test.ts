import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { toProvider } from '../../src/proxy/core-answers.ts'
import { createWsLink } from '../../src/proxy/ws-link.ts'
import { instruction } from '../../src/wire/frames.ts'
import { type BrokenProvider, LinkError, type LinkErrorKind } from '../../src/wire/link.ts'
import type { OutpostEvent } from '../../src/wire/outpost.ts'
import { selfSigned } from './certificate.ts'
import { linkConformance, recordingOutpost, until } from './conformance.ts'
import { type FakeCore, outpostId, someInstance, someProviderRow, startFakeCore } from './fake-core.ts'
import { collect, failsAs, instanceId, linkTo } from './harness.ts'

linkConformance('REST and WebSocket', async t => {
  const core = await startFakeCore(t)
  core.providers = Array.from({ length: 230 }, (_, at) => someProviderRow(core, at + 1))
  const pair = await selfSigned()
  core.certificate = { uuid: randomUUID(), ...pair }
  return {
    link: linkTo(t, core),
    expected: {
      outpostName: 'Standalone',
      providerNames: core.providers.map(provider => String(provider.name)),
      certificate: core.certificate,
    },
    pushUpdate: () => core.push({ instruction: instruction.triggerUpdate, args: {} }),
    pushSessionEnd: args =>
      core.push({ instruction: instruction.sessionEnd, args: { type: 'event.session.end', ...args } }),
    receivedFrames: () => core.frames,
    receivedEvents: () => core.events as OutpostEvent[],
  }
})

test('the address of Core works with and without trailing slash, sub-path and query', async t => {
  for (const [prefix, address] of [
    ['', ''],
    ['', '/'],
    ['/sso', '/sso'],
    ['/sso', '/sso/'],
    ['/a/b', '/a/b//'],
  ] as const) {
    const core = await startFakeCore(t)
    core.prefix = prefix
    const link = linkTo(t, core, { coreUrl: `${core.url}${address}?zone=1#x` })
    const instance = await link.instance()
    assert.equal(core.requests[0]!.url, `${prefix}/api/v3/outposts/instances/`)
    const outpost = recordingOutpost(0)
    link.open(instance, outpost.handlers)
    await until(() => outpost.connects === 1)
    assert.equal(
      core.upgrades[0]!.url,
      `${prefix}/ws/outpost/${outpostId}/?zone=1&instance_uuid=${instanceId}`,
    )
    await link.close()
  }
  for (const coreUrl of ['', 'auth.example.com', 'ftp://x/', 'http://user:pw@x/'])
    assert.throws(
      () =>
        createWsLink({
          ...{ coreUrl, token: 't', insecure: false, version: '1', instanceId, log: collect().log },
        }),
      failsAs('invalid', /AUTHENTIK_HOST must be an address/),
    )
  assert.throws(
    () =>
      createWsLink({
        ...{
          coreUrl: 'http://x',
          token: 'a\nb',
          insecure: false,
          version: '1',
          instanceId,
          log: collect().log,
        },
      }),
    failsAs('invalid', /AUTHENTIK_TOKEN/),
  )
})

test('REST and WebSocket carry the token and the agent string', async t => {
  const core = await startFakeCore(t)
  const link = linkTo(t, core)
  const outpost = recordingOutpost(0)
  link.open(await link.instance(), outpost.handlers)
  await until(() => outpost.connects === 1)
  for (const { headers } of [core.requests[0]!, core.upgrades[0]!]) {
    assert.equal(headers.authorization, 'Bearer the-token')
    assert.equal(headers['user-agent'], 'goauthentik.io/outpost/2.0.0')
  }
})

test('the back channel shows the public host, names the provider and never carries the token', async t => {
  const core = await startFakeCore(t)
  core.providers = [{ ...someProviderRow(core, 1), name: 'Größe\r\nx: y' }]
  const token = { endpoint: 'token', form: { code: 'good', client_secret: 'a&b=c' } } as const
  for (const [browserUrl, host, proto] of [
    [undefined, 'auth.example.com', 'https'],
    ['http://login.example.org:8080/', 'login.example.org:8080', 'http'],
  ] as const) {
    core.requests.length = 0
    const link = linkTo(t, core, { browserUrl })
    await link.instance()
    const [provider] = await link.providers()
    const answer = await link.backChannel(provider!, token)
    assert.deepEqual(answer, { status: 200, body: { access_token: `for ${core.url}`, token_type: 'Bearer' } })
    await link.backChannel(provider!, { endpoint: 'introspection', form: { token: 'x' } })
    await link.backChannel(provider!, { endpoint: 'jwks' })
    const [call, introspection, jwks] = core.requests.slice(-3)
    assert.equal(call!.body, 'code=good&client_secret=a%26b%3Dc')
    assert.equal(call!.headers['content-type'], 'application/x-www-form-urlencoded')
    for (const { headers } of [call!, introspection!]) {
      assert.equal(headers.host, host)
      assert.equal(headers['x-forwarded-proto'], proto)
    }
    assert.equal(jwks!.headers.host, new URL(core.url).host)
    assert.equal(jwks!.headers['x-forwarded-proto'], undefined)
    for (const { headers } of [call!, introspection!, jwks!]) {
      assert.equal(headers.authorization, undefined)
      assert.equal(headers['user-agent'], 'goauthentik.io/outpost/2.0.0 (provider=Gr??e??x: y)')
    }
  }
})

test('without a public address the back channel keeps the host it dials', async t => {
  const core = await startFakeCore(t)
  core.instance = someInstance({ authentik_host: '' })
  core.providers = [someProviderRow(core, 1)]
  const link = linkTo(t, core)
  await link.instance()
  await link.backChannel((await link.providers())[0]!, { endpoint: 'token', form: {} })
  assert.equal(core.requests.at(-1)!.headers.host, new URL(core.url).host)
})

test('TLS to Core is verified by the name that is dialed, also when the back channel shows another', async t => {
  const { certificate, key } = await selfSigned()
  const core = await startFakeCore(t, { key, cert: certificate })
  core.providers = [someProviderRow(core, 1)]
  await assert.rejects(linkTo(t, core).instance(), failsAs('unreachable', /self.signed certificate/i))
  const link = linkTo(t, core, { insecure: true, browserUrl: 'https://auth.example.com' })
  const outpost = recordingOutpost(0)
  link.open(await link.instance(), outpost.handlers)
  const answer = await link.backChannel((await link.providers())[0]!, {
    endpoint: 'token',
    form: { code: 'good' },
  })
  assert.equal(answer.status, 200)
  assert.equal(core.requests.at(-1)!.headers.host, 'auth.example.com')
  await until(() => outpost.connects === 1)
  assert.deepEqual([...new Set(core.serverNames)], ['localhost'])
})

test('a list is whole or an error: a failing page, an endless list and one that changes in between', async t => {
  const core = await startFakeCore(t)
  core.providers = Array.from({ length: 230 }, (_, at) => someProviderRow(core, at + 1))
  const link = linkTo(t, core)
  core.instead = ({ url }) => (url.includes('page=3') ? { status: 502 } : undefined)
  await assert.rejects(link.providers(), failsAs('unreachable', /502.*outposts\/proxy/))
  core.instead = () => ({ status: 200, body: { pagination: { next: 1 }, results: [] } })
  await assert.rejects(link.providers(), failsAs('invalid', /pagination\.next/))
  let shrinks = 1
  core.instead = ({ url }) => {
    if (url.includes('page=2') && shrinks-- > 0) core.providers.shift()
    return undefined
  }
  assert.equal((await link.providers()).length, 229, 'read again')
  shrinks = 100
  await assert.rejects(link.providers(), failsAs('invalid', /did not hold still/))
})

test('failures are sorted by what can be done about them, and say what to check', async t => {
  const core = await startFakeCore(t)
  const link = linkTo(t, core, { timeouts: { callMs: 300 } })
  const cases: [ReturnType<FakeCore['instead']>, LinkErrorKind, RegExp][] = [
    [
      { status: 403, body: { detail: 'Token invalid/expired' } },
      'unauthorized',
      /403 \(Token invalid\/expired\).*AUTHENTIK_TOKEN.*ak-outpost-/,
    ],
    [{ status: 401 }, 'unauthorized', /AUTHENTIK_TOKEN/],
    [{ status: 404 }, 'invalid', /404.*AUTHENTIK_HOST/],
    [{ status: 301 }, 'invalid', /redirect.*AUTHENTIK_HOST/],
    [{ status: 503 }, 'unreachable', /503/],
    [{ status: 429 }, 'unreachable', /429/],
    [{ status: 200, body: [] }, 'invalid', /outposts\/instances\/ must be an object, but is a list/],
    [{ status: 200 }, 'invalid', /must be an object, but is null/],
    ['nothing', 'unreachable', /no answer within 300 ms/],
  ]
  for (const [instead, kind, message] of cases) {
    core.instead = () => instead
    await assert.rejects(link.instance(), failsAs(kind, message))
  }
  core.instead = () => undefined
  core.instance = null
  await assert.rejects(
    link.instance(),
    failsAs('no-outpost', /^No outposts found with given token, ensure the given token/),
  )
  const nobody = linkTo(t, core, { coreUrl: 'http://127.0.0.1:1' })
  await assert.rejects(nobody.instance(), failsAs('unreachable', /127\.0\.0\.1:1.*ECONNREFUSED/))
  await link.close()
  await assert.rejects(link.instance(), failsAs('unreachable', /closed/))
})

test('a provider that lacks something is left out with the field named, and takes no other one down', async t => {
  const core = await startFakeCore(t)
  const link = linkTo(t, core)
  const broken: [Record<string, unknown>, RegExp][] = [
    [{ cookie_secret: '' }, /results\[1\] cookie_secret is empty/],
    [{ client_secret: null }, /results\[1\] client_secret must be a text/],
    [{ external_host: undefined }, /external_host must be a text, but is undefined/],
    [{ mode: 7 }, /mode must be a text/],
    [{ oidc_configuration: null }, /oidc_configuration must be an object/],
    [{ scopes_to_request: ['a', 1] }, /scopes_to_request must be a list of texts/],
    [{ certificate: '../../x' }, /certificate must be a UUID/],
    [{ pk: '1' }, /pk must be a number/],
    [{ problem: 'client_secret does not open' }, /^Core says: client_secret does not open$/],
  ]
  for (const [edit, message] of broken) {
    const second = { ...someProviderRow(core, 2), ...edit }
    core.providers = [someProviderRow(core, 1), second, someProviderRow(core, 3)]
    const left: BrokenProvider[] = []
    const good = await link.providers(row => left.push(row))
    assert.deepEqual(
      good.map(({ pk }) => pk),
      [1, 3],
    )
    assert.equal(left.length, 1)
    assert.match(left[0]!.problem, message)
    assert.deepEqual([left[0]!.pk, left[0]!.name], ['pk' in edit ? null : 2, String(second.name)])
    assert.equal((await link.providers()).length, 2, 'nobody need listen')
  }
  const optional = {
    certificate: null,
    skip_path_regex: null,
    intercept_header_auth: undefined,
    mode: undefined,
  }
  core.providers = [{ ...someProviderRow(core, 1), ...optional }]
  const [provider] = await link.providers()
  assert.equal(provider!.intercept_header_auth, true)
  assert.equal(provider!.mode, 'proxy')
  assert.equal('some_new_key' in provider!, false)
})

test('whatever Core answers, a provider is read or refused as invalid', async t => {
  const core = await startFakeCore(t)
  const row = someProviderRow(core, 1)
  const edit = fc.dictionary(fc.constantFrom(...Object.keys(row)), fc.jsonValue(), { minKeys: 1 })
  fc.assert(
    fc.property(
      fc.oneof(
        edit.map(edits => ({ ...row, ...edits })),
        fc.jsonValue(),
      ),
      value => {
        try {
          assert.ok(toProvider(value, 'row').cookie_secret !== '')
        } catch (error) {
          assert.ok(error instanceof LinkError && error.kind === 'invalid', String(error))
        }
      },
    ),
  )
})

test('a certificate that does not have the fingerprint Core tells is refused', async t => {
  const core = await startFakeCore(t)
  const [one, two] = [await selfSigned(), await selfSigned()]
  core.certificate = { uuid: randomUUID(), ...one, fingerprint: two.fingerprint }
  const link = linkTo(t, core)
  await assert.rejects(
    link.certificate(core.certificate.uuid),
    failsAs('invalid', /changed while it was read/),
  )
  core.certificate.certificate = 'no pem'
  await assert.rejects(link.certificate(core.certificate.uuid), failsAs('invalid', /is no certificate/))
})
