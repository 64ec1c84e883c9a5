// Which application a request belongs to, and what happens when Core's list changes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileApplication } from '../../src/proxy/application.ts'
import { createRouter } from '../../src/proxy/router.ts'
import { LinkError } from '../../src/wire/link.ts'
import type { ProxyProviderConfig } from '../../src/wire/outpost.ts'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { ask, createBrowser, startOutpost, startUpstream, until } from './harness.ts'

const P = '/outpost.goauthentik.io'

function compile(about: Partial<ProxyProviderConfig>) {
  return compileApplication(fakeProvider(about), {
    outpostName: 'o',
    version: '1',
    core: { embedded: false, url: '' },
    jwks: () => async () => ({ keys: [] }),
    warn() {},
  })
}

test('hosts match exactly, then by name when it is unique and not Core, then by domain', () => {
  const apps = [
    compile({ external_host: 'https://a.example' }),
    compile({ external_host: 'http://b.example:8080' }),
    compile({ external_host: 'http://b.example:8081' }),
    compile({
      external_host: 'https://auth.corp.example',
      mode: 'forward_domain',
      cookie_domain: 'corp.example',
    }),
    compile({
      external_host: 'https://auth.eu.corp.example',
      mode: 'forward_domain',
      cookie_domain: 'eu.corp.example',
    }),
  ]
  const router = createRouter(apps, host => host === 'a.example:9000')
  const found = (host: string) => router.find(host)?.origin ?? null
  assert.equal(found('a.example'), 'https://a.example')
  assert.equal(found('a.example:443'), 'https://a.example')
  assert.equal(found('a.example:1234'), 'https://a.example')
  assert.equal(found('a.example:9000'), null)
  assert.equal(found('b.example:8081'), 'http://b.example:8081')
  assert.equal(found('b.example'), null)
  assert.equal(found('x.corp.example'), 'https://auth.corp.example')
  assert.equal(found('x.eu.corp.example'), 'https://auth.eu.corp.example')
  assert.equal(found('xcorp.example'), null)
  assert.equal(found('unknown.example'), null)
})

test('of two applications with one host the older keeps it, whatever their names and order', () => {
  const older = compile({ pk: 3, name: 'zeta', external_host: 'https://a.example' })
  const younger = compile({ pk: 7, name: 'alpha', external_host: 'https://a.example:443' })
  const wide = { mode: 'forward_domain' as const, cookie_domain: 'corp.example' }
  const domain = compile({ pk: 4, external_host: 'https://one.corp.example', ...wide })
  const rival = compile({ pk: 8, external_host: 'https://two.corp.example', ...wide })
  for (const apps of [
    [older, younger, domain, rival],
    [rival, domain, younger, older],
  ]) {
    const router = createRouter(apps, () => false)
    assert.equal(router.find('a.example'), older)
    assert.equal(router.find('a.example:443'), older)
    assert.equal(router.find('x.corp.example'), domain)
    assert.deepEqual(router.displaced, [younger])
  }
})

test('a thousand applications are told apart, and the last is found as fast as the first', () => {
  const apps = Array.from({ length: 1000 }, (_, at) => compile({ external_host: `https://app${at}.example` }))
  const router = createRouter(apps, () => false)
  for (const [at, app] of apps.entries()) assert.equal(router.find(`app${at}.example`), app)
  const time = (host: string) => {
    const start = performance.now()
    for (let round = 0; round < 200_000; round++) router.find(host)
    return performance.now() - start
  }
  time('app0.example')
  const [first, last] = [time('app0.example'), time('app999.example')]
  assert.ok(last < first * 5 + 20, `${first} ms, ${last} ms`)
})

test('one application takes no other host: an unknown one is told so', async t => {
  const { port, access } = await startOutpost(t, createFakeCore([fakeProvider()]))
  for (const path of ['/', `${P}/start`, `${P}/auth/envoy/`]) {
    const reply = await ask({ port, host: 'other.example', path })
    assert.equal(reply.status, 400)
    assert.equal(reply.headers['content-type'], 'application/json')
    assert.deepEqual(JSON.parse(reply.body), {
      Message: 'no app for hostname',
      Host: 'other.example',
      Detail: "Check the outpost settings and make sure 'other.example' is included.",
    })
  }
  assert.deepEqual(
    access.map(({ host, status }) => [host, status]),
    Array(3).fill(['other.example', 400]),
  )
})

test('ping is 204 on every host and method and needs neither Core nor store', async t => {
  const { port, setStoreDown } = await startOutpost(t, createFakeCore([]))
  setStoreDown(true)
  for (const method of ['GET', 'HEAD', 'POST'])
    assert.equal((await ask({ port, method, host: 'x', path: `${P}/ping` })).status, 204)
})

test('another port of the same name returns to where the browser was, the callback is the external host', async t => {
  const upstream = await startUpstream(t)
  const core = createFakeCore([
    fakeProvider({ mode: 'proxy', internal_host: upstream.url, external_host: 'http://demo.localhost:9000' }),
  ])
  const { port } = await startOutpost(t, core)
  const browser = createBrowser(core, port)
  const page = await browser.visit('http://demo.localhost:9001/page?x')
  assert.equal(page.status, 200)
  assert.equal(page.url, 'http://demo.localhost:9001/page?x')
  assert.ok(page.hops.some(hop => hop.includes(encodeURIComponent('http://demo.localhost:9000/outpost'))))
})

test('embedded: mode proxy has its whole host, forward modes only their own paths, the rest is Core', async t => {
  const core = createFakeCore([
    fakeProvider({
      mode: 'proxy',
      internal_host: 'http://127.0.0.1:1',
      external_host: 'https://whole.example',
    }),
    fakeProvider({ external_host: 'https://forward.example' }),
  ])
  const { port } = await startOutpost(t, core, {
    embedded: true,
    isCoreHost: host => host.startsWith('core.example'),
    core: (_req, res) => res.writeHead(418).end(),
  })
  const status = async (host: string, path: string) =>
    (await ask({ port, host, path, headers: { 'sec-fetch-mode': 'navigate' } })).status
  assert.equal(await status('whole.example', '/if/flow/x/'), 302)
  assert.equal(await status('forward.example', '/page'), 418)
  assert.equal(await status('forward.example', `${P}/start`), 302)
  assert.equal(await status('forward.example', '/x?X-authentik-auth-callback=true'), 400)
  assert.equal(await status('core.example', '/'), 418)
  assert.equal(await status('core.example', `${P}/start`), 400)
  assert.equal(await status('core.example', `${P}xyz`), 418)
})

test('requests that could be read in two ways are refused', async t => {
  const upstream = await startUpstream(t)
  const core = createFakeCore([
    fakeProvider({ mode: 'proxy', internal_host: upstream.url, skip_path_regex: '.*' }),
  ])
  const { port } = await startOutpost(t, core)
  const twoHosts = await ask({
    port,
    rawHeaders: ['Host', 'app.example', 'X-Forwarded-Host', 'app.example', 'X-Forwarded-Host', 'b'],
  })
  assert.equal(twoHosts.status, 400)
  const absolute = await ask({ port, host: 'app.example', path: 'http://app.example/x' })
  assert.equal(absolute.status, 400)
  assert.equal(
    (await ask({ port, host: 'app.example', path: '/a//b/../c' })).status,
    302,
    'not allow-listed, not cleaned',
  )
})

test('a push swaps the table: new applications appear, removed ones go, sessions stay', async t => {
  const upstream = await startUpstream(t)
  const provider = fakeProvider({ mode: 'proxy', internal_host: upstream.url })
  const core = createFakeCore([provider])
  const { port, outpost } = await startOutpost(t, core)
  const browser = createBrowser(core, port)
  await browser.visit('https://app.example/')
  core.providers = [
    { ...provider, name: 'renamed' },
    fakeProvider({ mode: 'proxy', internal_host: upstream.url, external_host: 'https://new.example' }),
  ]
  core.push(2, { revision: 5 })
  await until(() => outpost.status().applications === 2, 'the new application')
  assert.equal(core.handlers?.hello().revision, 5)
  const page = await browser.get('https://app.example/')
  assert.equal(page.status, 200)
  assert.equal(JSON.parse(page.body).headers['x-authentik-meta-provider'], 'renamed')
  core.providers = core.providers.slice(1)
  await outpost.refresh()
  assert.equal((await browser.get('https://app.example/')).status, 400)
})

test('a changed cookie secret ends the sessions of its provider', async t => {
  const upstream = await startUpstream(t)
  const provider = fakeProvider({ mode: 'proxy', internal_host: upstream.url })
  const core = createFakeCore([provider])
  const { port, outpost } = await startOutpost(t, core)
  const browser = createBrowser(core, port)
  await browser.visit('https://app.example/')
  core.providers = [{ ...provider, cookie_secret: 'Y'.repeat(32) }]
  await outpost.refresh()
  assert.equal((await browser.get('https://app.example/')).status, 302)
  assert.equal((await browser.visit('https://app.example/')).status, 200)
})

test('a provider that cannot be set up keeps its last good version and is reported, the others are not touched', async t => {
  const provider = fakeProvider()
  const core = createFakeCore([provider])
  const { port, outpost, lines } = await startOutpost(t, core)
  core.providers = [
    { ...provider, external_host: 'not a url' },
    fakeProvider({ external_host: 'https://two.example' }),
    fakeProvider({ external_host: 'https://three.example', mode: 'unheard_of' as never }),
  ]
  await outpost.refresh()
  const status = async (host: string) => (await ask({ port, host, path: `${P}/start` })).status
  assert.equal(await status('app.example'), 302)
  assert.equal(await status('two.example'), 302)
  assert.equal(await status('three.example'), 400)
  assert.deepEqual(
    outpost.status().failed.map(({ kept, problem }) => [kept, problem]),
    [
      [true, 'external_host "not a url" is not an http or https URL'],
      [false, 'mode "unheard_of" is not known to this outpost'],
    ],
  )
  assert.equal(lines.filter(line => line.event === 'failed to setup application').length, 2)
})

test('a row of Core nobody can work with keeps the last good version of its provider, before and after a new one comes', async t => {
  const [one, two] = [fakeProvider(), fakeProvider({ external_host: 'https://two.example' })]
  const core = createFakeCore([one, two])
  const { port, outpost, lines } = await startOutpost(t, core)
  const status = async (host: string) => (await ask({ port, host, path: `${P}/start` })).status
  core.providers = [two]
  core.broken = [
    { pk: one.pk, name: one.name, problem: 'client_secret is empty' },
    { pk: 4711, name: 'never seen', problem: 'client_secret is empty' },
    { pk: null, name: '', problem: 'it is no object' },
  ]
  await outpost.refresh()
  assert.deepEqual([await status('app.example'), await status('two.example')], [302, 302])
  assert.deepEqual(
    outpost.status().failed.map(({ provider, kept }) => [provider, kept]),
    [
      [one.name, true],
      ['never seen', false],
      ['', false],
    ],
  )
  assert.equal(lines.filter(line => line.event === 'failed to setup application').length, 3)
  core.broken = []
  await outpost.refresh()
  assert.deepEqual([await status('app.example'), await status('two.example')], [400, 302], 'it is gone')
  assert.deepEqual(outpost.status().failed, [])
})

test('when Core cannot be asked the last configuration serves on, and the line says how old it is', async t => {
  const core = createFakeCore([fakeProvider()])
  const { port, outpost, lines } = await startOutpost(t, core)
  core.failing.set('providers', new LinkError('unreachable', 'no answer'))
  await outpost.refresh()
  assert.equal((await ask({ port, host: 'app.example', path: `${P}/start` })).status, 302)
  const line = lines.find(one => String(one.event).startsWith('Failed to refresh'))
  assert.equal(line?.applications, 1)
  assert.ok(line?.refreshed_at)
})

test('the configuration is fetched anew after every reconnect', async t => {
  const core = createFakeCore([fakeProvider()])
  const { outpost } = await startOutpost(t, core)
  core.handlers?.onDisconnect()
  assert.equal(outpost.status().connected, false)
  core.providers = []
  core.handlers?.onConnect()
  await until(() => outpost.status().applications === 0, 'the refresh')
})

test('an outpost waits for Core for as long as it takes, and ends at once when its token has no outpost', async t => {
  const core = createFakeCore([fakeProvider()])
  core.failing.set('instance', new LinkError('unreachable', 'no answer'))
  setTimeout(() => core.failing.clear(), 50)
  const { port } = await startOutpost(t, core)
  assert.equal((await ask({ port, host: 'app.example', path: `${P}/start` })).status, 302)
  const none = createFakeCore([])
  none.failing.set('instance', new LinkError('no-outpost', 'this token belongs to no outpost'))
  await assert.rejects(startOutpost(t, none), /belongs to no outpost/)
})
