// Forward auth as nginx, Traefik, Caddy and Envoy ask for it.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { decodeJwt } from 'jose'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import type { OutpostOptions } from '../../src/proxy/outpost.ts'
import type { ProxyProviderConfig } from '../../src/wire/outpost.ts'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { type Answer, ask, createBrowser, startOutpost } from './harness.ts'

const P = '/outpost.goauthentik.io'
type Front = 'nginx' | 'nginx-uri' | 'traefik' | 'caddy' | 'envoy'
const fronts: Front[] = ['nginx', 'nginx-uri', 'traefik', 'caddy', 'envoy']
const redirecting: Front[] = ['traefik', 'caddy', 'envoy']

async function setUp(
  t: TestContext,
  about: Partial<ProxyProviderConfig> = {},
  options: Partial<OutpostOptions> = {},
) {
  const core = createFakeCore([fakeProvider(about)])
  const running = await startOutpost(t, core, options)
  return { core, ...running, browser: createBrowser(core, running.port) }
}

/** What a front proxy asks when a browser wants `url`. */
function judge(
  port: number,
  front: Front,
  url: string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const { protocol, host, pathname, search } = new URL(url)
  const uri = url.slice(`${protocol}//${host}`.length) || pathname + search
  const own: Record<Front, Record<string, string>> = {
    nginx: { 'x-original-url': `${protocol}//${host}${uri}` },
    'nginx-uri': { 'x-original-uri': uri, 'x-forwarded-proto': protocol.slice(0, -1) },
    traefik: { 'x-forwarded-proto': protocol.slice(0, -1), 'x-forwarded-host': host, 'x-forwarded-uri': uri },
    caddy: { 'x-forwarded-proto': protocol.slice(0, -1), 'x-forwarded-host': host, 'x-forwarded-uri': uri },
    envoy: { 'x-forwarded-proto': protocol.slice(0, -1) },
  }
  const path = front === 'envoy' ? `${P}/auth/envoy${uri}` : `${P}/auth/${front.split('-')[0]}`
  return ask({ port, path, host, headers: { ...own[front], ...headers } })
}

/** Signs in through the path `start`, as nginx has browsers do; returns the Cookie header. */
async function signIn({ browser }: Awaited<ReturnType<typeof setUp>>, host = 'app.example'): Promise<string> {
  const start = `https://${host}${P}/start?rd=%2F`
  await browser.visit(start)
  return [...browser.cookies].map(([name, { value }]) => `${name}=${value}`).join('; ')
}

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

test('allow-listed paths pass without identity, and nothing that only looks like one', async t => {
  const all = await setUp(t, { skip_path_regex: '^/public/\n\n  \n^/exact$\r\n(' })
  const { port } = all
  const verdict = async (front: Front, uri: string) => {
    const reply = await judge(port, front, `https://app.example${uri}`)
    assert.equal(reply.headers['x-authentik-username'] || undefined, undefined)
    return reply.status === 200
  }
  for (const front of fronts) {
    for (const uri of [
      '/public/x',
      '/public/',
      '/exact',
      '/public/a%20b',
      '/public/x?y=/../z',
      '/%70ublic/x',
    ])
      assert.equal(await verdict(front, uri), true, `${front} ${uri}`)
    for (const uri of [
      '/',
      '/private',
      '/exact/',
      '/public/../private',
      '/public/%2e%2e/private',
      '/public/..%2fprivate',
      '/public/%2e%2e%2fprivate',
      '/public/..;/private',
      '/public/..%5cprivate',
      '/public/.',
      '/public/%00',
      '/public/%0a',
      '/public/%252e%252e/private',
      '/public/%zz',
      '/public%2fx',
      '/private?/public/',
      '/private?x=/exact',
    ])
      assert.equal(await verdict(front, uri), false, `${front} ${uri}`)
  }
  const cookie = await signIn(all)
  const known = await judge(port, 'traefik', 'https://app.example/public/x', { cookie })
  assert.equal(known.headers['x-authentik-username'], 'jane')
})

test('allow-list patterns that cannot work are named at load and match nothing', async t => {
  const { port, lines } = await setUp(t, { skip_path_regex: '(\nfoo\\?bar\n(?=x)' })
  const named = lines.filter(line => line.event === 'skip_path_regex').map(line => line.line)
  assert.deepEqual(named, ['(', 'foo\\?bar', '(?=x)'])
  assert.equal((await judge(port, 'nginx', 'https://app.example/')).status, 401)
})

test("nginx's sub-request for the outpost's own paths is 200, on path borders only", async t => {
  const { port } = await setUp(t)
  const status = async (uri: string) => (await judge(port, 'nginx', `https://app.example${uri}`)).status
  assert.equal(await status(`${P}/start?rd=x`), 200)
  assert.equal(await status(P), 200)
  for (const uri of [
    `${P}x`,
    `${P}.evil/`,
    `${P}/../admin`,
    `${P}/%2e%2e/admin`,
    `${P}/..;/admin`,
    `/x${P}/start`,
  ])
    assert.equal(await status(uri), 401, uri)
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

test('domain mode: one login for the domain, on label borders', async t => {
  const all = await setUp(t, {
    mode: 'forward_domain',
    external_host: 'https://auth.example.com',
    cookie_domain: '.example.com',
  })
  const { port } = all
  const cookie = await signIn(all, 'auth.example.com')
  assert.equal((await judge(port, 'nginx', 'https://a.b.example.com/', { cookie })).status, 200)
  assert.equal((await judge(port, 'nginx', 'https://example.com/', { cookie })).status, 200)
  const outside = await judge(port, 'nginx', 'https://evilexample.com/', { cookie })
  assert.equal(outside.status, 400)
  assert.match(outside.body, /no app for hostname/)
  const cookieLine = async () => {
    const start = await ask({
      port,
      host: 'auth.example.com',
      path: `${P}/start`,
      headers: { 'sec-fetch-mode': 'navigate' },
    })
    return String(start.headers['set-cookie'])
  }
  assert.match(await cookieLine(), /; Domain=example\.com; /)
  const rd = async (target: string) => {
    const url = `https://auth.example.com${P}/start?rd=${encodeURIComponent(target)}`
    const start = await all.browser.get(url)
    return decodeJwt(new URL(start.headers.location ?? '').searchParams.get('state') ?? '').redirect
  }
  assert.equal(await rd('https://x.example.com/p?q'), 'https://x.example.com/p?q')
  for (const evil of [
    'https://evilexample.com/',
    'https://example.com.evil.test/',
    'javascript://x.example.com/%0aalert(1)',
  ])
    assert.equal(await rd(evil), '', evil)
})

test('domain mode: patterns see scheme, host and path, never the query; an empty domain matches no host', async t => {
  const core = createFakeCore([
    fakeProvider({
      mode: 'forward_domain',
      external_host: 'https://auth.example.com',
      cookie_domain: 'example.com',
      skip_path_regex: '^https://open\\.example\\.com/',
    }),
    fakeProvider({ mode: 'forward_domain', external_host: 'https://auth.example.net', cookie_domain: '' }),
  ])
  const { port } = await startOutpost(t, core)
  assert.equal((await judge(port, 'caddy', 'https://open.example.com/x')).status, 200)
  assert.equal((await judge(port, 'caddy', 'https://a.example.com/?https://open.example.com/')).status, 302)
  assert.equal((await judge(port, 'caddy', 'https://auth.example.net/')).status, 302)
  assert.equal((await judge(port, 'caddy', 'https://a.example.net/')).status, 400)
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
