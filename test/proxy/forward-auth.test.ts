// Forward auth as nginx, Traefik, Caddy and Envoy ask for it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeJwt } from 'jose'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { ask, createBrowser, startOutpost } from './harness.ts'
import { fronts, judge, P, redirecting, setUp, signIn } from './judge.ts'

test('a signed-in user gets 200 with all identity headers, for every front proxy', async t => {
  const all = await setUp(t)
  const cookie = await signIn(all)
  for (const front of fronts) {
    const reply = await judge(all.port, front, 'https://app.example/page?q', {
      cookie,
      'user-agent': 'test/1',
    })
    assert.equal(reply.status, 200, front)
    assert.equal(reply.body, '')
    const names =
      'username groups entitlements email name uid jwt meta-jwks meta-outpost meta-provider meta-app meta-version'
    for (const name of names.split(' ')) assert.ok(reply.headers[`x-authentik-${name}`], `${front} ${name}`)
    assert.equal(reply.headers['x-authentik-meta-version'], 'goauthentik.io/outpost/0.0.0-test')
    assert.equal(reply.headers['user-agent'], 'test/1')
  }
})

test('nginx gets 401, the others a redirect to a login that returns to the page', async t => {
  const { port } = await setUp(t)
  for (const front of ['nginx', 'nginx-uri'] as const) {
    const reply = await judge(port, front, 'https://app.example/page')
    assert.equal(reply.status, 401)
    assert.equal(reply.body, 'unauthorized request\n')
    assert.equal(reply.headers['set-cookie'], undefined)
    assert.equal(reply.headers['x-content-type-options'], 'nosniff')
  }
  for (const front of redirecting) {
    const reply = await judge(port, front, 'https://app.example/page?a=1&b=2')
    assert.equal(reply.status, 302, front)
    const location = new URL(reply.headers.location ?? '')
    assert.equal(
      decodeJwt(location.searchParams.get('state') ?? '').redirect,
      'https://app.example/page?a=1&b=2',
    )
    assert.match(String(reply.headers['set-cookie']), /^authentik_proxy_[0-9a-f]{8}_/)
  }
})

test('a URL that cannot be built is 400, and Core is told once, without secrets', async t => {
  const { port, core } = await setUp(t)
  const cases: [string, Record<string, string | string[]>][] = [
    ['traefik', { 'x-forwarded-host': 'app.example', 'x-forwarded-uri': '/' }],
    ['traefik', { 'x-forwarded-proto': 'https', 'x-forwarded-uri': '/' }],
    [
      'caddy',
      { 'x-forwarded-proto': 'javascript', 'x-forwarded-host': 'app.example', 'x-forwarded-uri': '/' },
    ],
    [
      'caddy',
      { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'app.example/evil', 'x-forwarded-uri': '/' },
    ],
    ['caddy', { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'a@app.example', 'x-forwarded-uri': '/' }],
    [
      'traefik',
      { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'app.example', 'x-forwarded-uri': ['/a', '/b'] },
    ],
    ['nginx', {}],
    ['nginx', { 'x-original-url': '/only/a/path' }],
    ['nginx', { 'x-original-url': ['https://app.example/a', 'https://app.example/b'] }],
  ]
  for (const [front, headers] of cases) {
    const reply = await ask({
      port,
      path: `${P}/auth/${front}`,
      host: 'app.example',
      headers: { ...headers, cookie: 'a=secret-cookie', authorization: 'Bearer secret-token' },
    })
    assert.equal(reply.status, 400, JSON.stringify([front, headers]))
    assert.equal(reply.headers.location, undefined)
  }
  assert.deepEqual(
    core.events.map(event => event.action),
    Array(3).fill('configuration_error'),
  )
  assert.doesNotMatch(JSON.stringify(core.events), /secret-/)
})

test('forwarding headers count only from trusted peers: anyone else gets 400 and a line naming the setting', async t => {
  const { port, lines } = await setUp(t, {}, { trusted: createTrustedPeers(['192.0.2.0/24']) })
  for (const front of ['nginx', 'traefik', 'caddy'] as const)
    assert.equal((await judge(port, front, 'https://app.example/')).status, 400)
  const line = lines.find(one => String(one.hint).includes('AUTHENTIK_LISTEN__TRUSTED_PROXY_CIDRS'))
  assert.equal(line?.peer, '127.0.0.1')
})

test('nginx: the application is the one of the URL, never the one of X-Forwarded-Host a client sends', async t => {
  const secret = fakeProvider({ external_host: 'https://secret.example' })
  const open = fakeProvider({ external_host: 'https://open.example', skip_path_regex: '.*' })
  const core = createFakeCore([secret, open])
  const { port } = await startOutpost(t, core)
  const spoofed = { 'x-forwarded-host': 'open.example' }
  for (const front of ['nginx', 'nginx-uri'] as const) {
    assert.equal((await judge(port, front, 'https://secret.example/', spoofed)).status, 401)
    assert.equal((await judge(port, front, 'https://open.example/')).status, 200)
  }
  const bothHeaders = { 'x-original-url': 'https://open.example/', 'x-original-uri': '/' }
  const reply = await ask({ port, path: `${P}/auth/nginx`, host: 'secret.example', headers: bothHeaders })
  assert.equal(reply.status, 400, 'a client added the header its operator does not use')
})

test('programs get 401 with the login address; nginx gets its 401 always', async t => {
  const { port } = await setUp(t)
  for (const front of redirecting)
    for (const headers of [
      { 'sec-fetch-mode': 'cors' },
      { 'x-requested-with': 'XMLHttpRequest' },
      { accept: 'application/json' },
    ] as Record<string, string>[]) {
      const reply = await judge(port, front, 'https://app.example/api', headers)
      assert.equal(reply.status, 401, front)
      assert.match(
        JSON.parse(reply.body).login_url,
        /^https:\/\/app\.example\/outpost\.goauthentik\.io\/start\?rd=/,
      )
      assert.equal(reply.headers['set-cookie'], undefined)
    }
})

test('Traefik, Caddy and Envoy: a callback and a sign-out are recognised in the URL', async t => {
  for (const front of redirecting) {
    const { port, core, browser } = await setUp(t)
    const toLogin = await judge(port, front, 'https://app.example/page')
    const cookie = String(toLogin.headers['set-cookie']).split(';')[0] ?? ''
    const callback = core.authorize(toLogin.headers.location ?? '')
    const reply = await judge(port, front, callback, { cookie })
    assert.equal(reply.status, 302, front)
    assert.equal(reply.headers.location, 'https://app.example/page')
    const session =
      (reply.headers['set-cookie'] ?? []).find(one => /^authentik_proxy_[0-9a-f]{8}=\w/.test(one)) ?? ''
    const signedIn = { cookie: session.split(';')[0] ?? '' }
    assert.equal((await judge(port, front, 'https://app.example/', signedIn)).status, 200)
    const out = await judge(port, front, 'https://app.example/?X-authentik-logout=TRUE', signedIn)
    assert.match(out.headers.location ?? '', /end-session/)
    assert.equal((await judge(port, front, 'https://app.example/', signedIn)).status, 302)
    assert.ok(browser)
  }
})

test('credentials that were for the outpost are answered by an empty header, those of the application by none', async t => {
  const all = await setUp(t)
  const { port, core } = all
  const [provider] = core.providers
  core.tokens.set('robot', { active: true, sub: 'robot', client_id: provider?.client_id })
  const cookie = await signIn(all)
  for (const front of fronts) {
    const taken = await judge(port, front, 'https://app.example/', { authorization: 'Bearer robot' })
    assert.equal(taken.status, 200, front)
    assert.equal(taken.headers.authorization, '', front)
    const own = { cookie, authorization: 'Bearer of-the-application' }
    assert.equal((await judge(port, front, 'https://app.example/', own)).headers.authorization, undefined)
  }
})

test('the session store being away is 503, not a login', async t => {
  const core = createFakeCore([fakeProvider()])
  const running = await startOutpost(t, core, { leaseMs: 0 })
  const all = { core, ...running, browser: createBrowser(core, running.port) }
  const cookie = await signIn(all)
  running.setStoreDown(true)
  for (const front of fronts)
    assert.equal((await judge(running.port, front, 'https://app.example/', { cookie })).status, 503, front)
})

test('forward modes answer nothing but their own paths; mode proxy answers no front proxy', async t => {
  const { port } = await setUp(t)
  const reply = await ask({ port, host: 'app.example', path: '/page' })
  assert.equal(reply.status, 404)
  assert.equal(reply.body, '404 page not found\n')
  const core = createFakeCore([fakeProvider({ mode: 'proxy', internal_host: 'http://127.0.0.1:1' })])
  const other = await startOutpost(t, core)
  assert.equal((await judge(other.port, 'nginx', 'https://app.example/')).status, 404)
})
