// What went wrong in other identity-aware proxies, and does not in this outpost. docs/advisories.md lists them all.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeJwt } from 'jose'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import { createFakeCore, fakeProvider } from '../proxy/fake-core.ts'
import { startEnvoy, startTraefik } from '../proxy/front-models.ts'
import { startCaddy, startHaproxy, startNginx } from '../proxy/front-programs.ts'
import { freePort } from '../proxy/front-proxy.ts'
import { ask, createBrowser, startOutpost, startUpstream } from '../proxy/harness.ts'
import { fronts, judge, P, setUp, signIn } from '../proxy/judge.ts'
import { setUp as setUpProxy, untilCallback } from '../proxy/login-walk.ts'
import { rawAsk } from '../proxy/raw-request.ts'

const page = 'https://app.example/private'

test('CVE-2026-25748: a cookie that cannot be read is no cookie: no front proxy is ever told yes', async t => {
  const all = await setUp(t)
  const genuine = await signIn(all)
  const [name = '', value = ''] = genuine.split('=')
  assert.equal((await judge(all.port, 'nginx', page, { cookie: genuine })).status, 200)
  const broken = fc.oneof(
    fc.string({ maxLength: 80 }).map(text => text.replaceAll(/[^\x20-\x7e]/g, '%')),
    fc.constantFrom(
      ...['', '%', '%%%', '"', '=', '\\', ';', 'null', '{}', 'a'.repeat(4000), `${value}x`, value.slice(1)],
    ),
    fc.nat(value.length - 1).map(at => `${value.slice(0, at)}.${value.slice(at + 1)}`),
  )
  await fc.assert(
    fc.asyncProperty(broken, fc.constantFrom(...fronts), async (text, front) => {
      fc.pre(text.trim() !== value)
      const reply = await judge(all.port, front, page, { cookie: `${name}=${text}` })
      assert.equal(reply.status, front.startsWith('nginx') ? 401 : 302, `${front} ${text}`)
    }),
    { numRuns: 150, interruptAfterTimeLimit: 6000, markInterruptAsFailure: false },
  )
})

test('GHSA-7x63-xv5r-3p2x: the path that is judged is the one that was asked for, whoever claims another', async t => {
  const about = { skip_path_regex: '^/public' }
  const { port } = await setUpProxy(t, about)
  const claims = {
    ...{ 'x-forwarded-uri': '/public', 'x-original-uri': '/public', 'x-rewrite-url': '/public' },
    ...{ 'x-original-url': 'https://app.example/public', 'x-forwarded-path': '/public' },
  }
  const claimed = await ask({ port, host: 'app.example', path: '/private', headers: claims })
  assert.equal(claimed.status, 302)
  const stranger = await setUp(t, about, { trusted: createTrustedPeers([]) })
  for (const front of fronts.filter(one => one !== 'envoy')) {
    const reply = await judge(stranger.port, front, 'https://app.example/public')
    assert.equal(reply.status, 400, `${front} believed a peer that is not trusted`)
  }
})

test('CVE-2025-64484: identity cannot be smuggled in another spelling of a header', async t => {
  const all = await setUpProxy(t, { skip_path_regex: '^/public' })
  const { port } = all
  const spellings = [
    'X-authentik-username',
    'X_authentik_username',
    'x-authentik_username',
    'X_AUTHENTIK-USERNAME',
  ]
  const rawHeaders = ['Host', 'app.example', ...spellings.flatMap(name => [name, 'root'])]
  const reply = await ask({ port, path: '/public', rawHeaders })
  assert.equal(reply.status, 200)
  assert.doesNotMatch(JSON.stringify(JSON.parse(reply.body).rawHeaders), /root|authentik.username/i)
})

test('GHSA-7rh7-c77v-6434, GHSA-pxq7-h93f-9jrg: a path without login is matched on the path, never on query or fragment', async t => {
  const { port } = await setUp(t, { skip_path_regex: '/public$' })
  for (const front of fronts) {
    assert.equal((await judge(port, front, 'https://app.example/public')).status, 200, front)
    for (const path of [
      '/private?/public',
      '/private?x=/public',
      '/private;x?y&/public',
      '/private?%2fpublic',
    ])
      assert.notEqual(
        (await judge(port, front, `https://app.example${path}`)).status,
        200,
        `${front} ${path}`,
      )
    const fragment = await judge(port, front, 'https://app.example/private#/public')
    assert.notEqual(fragment.status, 200, `${front}, behind a #`)
  }
})

test('GHSA-5hvv-m4w4-gf6v: no program is let in for what it calls itself', async t => {
  const { port } = await setUpProxy(t)
  for (const agent of [
    'kube-probe/1.30',
    'GoogleHC/1.0',
    'goauthentik.io/outpost/2025.1',
    'ELB-HealthChecker/2.0',
    'Prometheus/2',
  ]) {
    const reply = await ask({ port, host: 'app.example', headers: { 'user-agent': agent } })
    assert.equal(reply.status, 302, agent)
    assert.match(reply.headers.location ?? '', new RegExp(`${P}/start|core.example`))
  }
})

test('GHSA-f24x-5g9q-753f: a cookie somebody planted before the login opens nothing after it', async t => {
  const all = await setUpProxy(t)
  const { browser, port } = all
  const back = await untilCallback(all)
  const planted = new Map([...browser.cookies].map(([name, { value }]) => [name, value]))
  const done = await browser.visit(back)
  assert.equal(done.status, 200)
  const cookie = [...planted].map(([name, value]) => `${name}=${value}`).join('; ')
  const thief = await ask({ port, host: 'app.example', path: '/private', headers: { cookie } })
  assert.equal(thief.status, 302)
})

test('CVE-2023-36456: what a peer that is not trusted says about host, scheme and client is not believed by an outpost', async t => {
  const upstream = await startUpstream(t)
  const provider = fakeProvider({ mode: 'proxy', internal_host: upstream.url, skip_path_regex: '^/public' })
  const core = createFakeCore([provider, fakeProvider({ external_host: 'https://other.example' })])
  const { port } = await startOutpost(t, core, { trusted: createTrustedPeers([]) })
  const claims = { 'x-forwarded-for': '6.6.6.6', 'x-real-ip': '6.6.6.6', forwarded: 'for=6.6.6.6' }
  const elsewhere = { ...claims, 'x-forwarded-host': 'other.example', 'x-forwarded-proto': 'https' }
  const reply = await ask({ port, host: 'app.example', path: '/public', headers: elsewhere })
  assert.equal(reply.status, 200, 'the application of the real host')
  assert.doesNotMatch(reply.body, /6\.6\.6\.6|other\.example/)
  assert.equal(JSON.parse(reply.body).headers['x-forwarded-proto'], 'http')
})

test('CVE-2026-41569, GHSA-4mf2-f3wh-gvf2, GHSA-5m6c-jp6f-2vcv: no login leads to an address that only looks like the application', async t => {
  const { browser } = await setUpProxy(t)
  const target = async (rd: string) => {
    const reply = await browser.get(`https://app.example${P}/start?rd=${encodeURIComponent(rd)}`)
    const state = new URL(reply.headers.location ?? '').searchParams.get('state') ?? ''
    return decodeJwt(state).redirect
  }
  assert.equal(await target('https://app.example/fine'), 'https://app.example/fine')
  for (const rd of [
    ...['https://app.example.evil.test/', 'https://evil.test/app.example', 'https://evilapp.example/'],
    ...['https://app.example@evil.test/', 'https://app.example:8443/', 'https://sub.app.example/'],
    ...[
      '/\\evil.test',
      '\\\\evil.test',
      '//evil.test',
      '/\t/evil.test',
      '///evil.test',
      'https:/\\evil.test',
    ],
    ...['javascript:alert(1)//app.example', 'data:text/html,app.example', 'https://app.example\\@evil.test/'],
  ]) {
    const redirect = String(await target(rd))
    const isHere = redirect === '' || new URL(redirect).origin === 'https://app.example'
    assert.ok(isHere, `${JSON.stringify(rd)} leads to ${redirect}`)
  }
})

test('GHSA-5m6w-wvh7-57vm, GHSA-6384-m2mw-rf54: forwarding headers spelled with `_`, and a prefix, decide nothing', async t => {
  const { port } = await setUp(t, { skip_path_regex: '^/public' })
  for (const front of fronts)
    for (const claim of [
      { X_Forwarded_Uri: '/public', X_Original_URL: 'https://app.example/public', X_Original_URI: '/public' },
      { 'X-Forwarded_Uri': '/public', 'X_Forwarded-Uri': '/public', X_Forwarded_Host: 'open.example' },
      { 'X-Forwarded-Prefix': '/public', 'X-Forwarded-Path': '/public', 'X-Original-Path': '/public' },
    ] as Record<string, string>[]) {
      const { status } = await judge(port, front, page, claim)
      assert.equal(status, front.startsWith('nginx') ? 401 : 302, `${front} ${JSON.stringify(claim)}`)
    }
})

test('GHSA-7r4p-vjf4-gxv4: who is let through as nobody is nobody in every identity header, for fronts that keep what an answer lacks', async t => {
  const { port } = await setUp(t, { skip_path_regex: '^/public' })
  const names =
    'username groups entitlements email name uid jwt meta-jwks meta-outpost meta-provider meta-app'
  for (const front of ['caddy', 'envoy'] as const) {
    const reply = await judge(port, front, 'https://app.example/public', { 'x-authentik-username': 'root' })
    assert.equal(reply.status, 200)
    for (const name of names.split(' '))
      assert.equal(reply.headers[`x-authentik-${name}`], '', `${front} ${name}`)
  }
})

test('GHSA-f59h-q822-g45g, CVE-2024-45410: behind no front proxy can a client respell identity headers or have them dropped', async t => {
  const upstream = await startUpstream(t)
  const core = createFakeCore([fakeProvider({ external_host: 'http://app.example' })])
  const { port: outpostPort } = await startOutpost(t, core)
  for (const start of [startNginx, startCaddy, startHaproxy, startTraefik, startEnvoy]) {
    const port = await freePort()
    await start(t, { port, hosts: ['app.example'], outpostPort, upstreamPort: upstream.port })
    const browser = createBrowser(core, port)
    await browser.visit('http://app.example/')
    const cookie = [...browser.cookies].map(([name, { value }]) => `${name}=${value}`).join('; ')
    for (const claim of [
      ['X_authentik_username', 'root'],
      ['X_Authentik-Username', 'root'],
      ['Connection', 'close, X-authentik-username, X_authentik_username'],
    ] as [string, string][]) {
      const { status, body } = await rawAsk(port, '/', [claim, ['Cookie', cookie]])
      if (status === 400) continue
      assert.equal(status, 200, `${start.name} ${claim}`)
      assert.equal(JSON.parse(body).headers['x-authentik-username'], 'jane', `${start.name} ${claim}`)
      assert.doesNotMatch(body, /root/, `${start.name} ${claim}`)
    }
  }
})

test('an application behind the outpost sees neither its cookies nor those of Core, in no spelling of the header', async t => {
  const all = await setUpProxy(t)
  await all.browser.visit(page)
  const session = [...all.browser.cookies].map(([name, { value }]) => `${name}=${value}`).join('; ')
  const core = 'authentik_session=stolen; authentik_csrf=stolen; "authentik_session"=kept'
  const rawHeaders = [
    'Host',
    'app.example',
    'X-Forwarded-Proto',
    'https',
    'Cookie',
    `mine=1; ${session}; ${core}`,
  ]
  const reply = await ask({ port: all.port, path: '/private', rawHeaders: [...rawHeaders, 'Cookie_', core] })
  assert.equal(reply.status, 200)
  const got = JSON.parse(reply.body).headers.cookie as string
  assert.match(got, /mine=1/)
  assert.doesNotMatch(got, /stolen|authentik_proxy/)
})
