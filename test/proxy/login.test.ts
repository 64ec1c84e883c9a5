// The way of a browser into an application and back out of it, mode `proxy`.
import assert from 'node:assert/strict'
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { decodeJwt } from 'jose'
import { createAccessLog } from '../../src/http/access-log.ts'
import type { ProxyProviderConfig } from '../../src/wire/outpost.ts'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { ask, createBrowser, startOutpost, startUpstream, until } from './harness.ts'

async function setUp(t: TestContext, about: Partial<ProxyProviderConfig> = {}) {
  const upstream = await startUpstream(t)
  const provider = fakeProvider({ mode: 'proxy', internal_host: upstream.url, ...about })
  const core = createFakeCore([provider])
  const running = await startOutpost(t, core)
  return { core, provider, upstream, ...running, browser: createBrowser(core, running.port) }
}

/** Goes as far as Core and returns the address Core sends the browser back to. */
async function untilCallback(
  { browser, core }: Awaited<ReturnType<typeof setUp>>,
  url = 'https://app.example/page',
): Promise<string> {
  const toStart = await browser.get(url)
  const toCore = await browser.get(toStart.headers.location ?? '')
  return core.authorize(toCore.headers.location ?? '')
}

test('a login ends at the page first asked for, query string and all, with identity headers at the upstream', async t => {
  const { browser } = await setUp(t)
  const page = await browser.visit('https://app.example/deep/page?x=1&y=%20z')
  assert.equal(page.status, 200)
  assert.equal(page.url, 'https://app.example/deep/page?x=1&y=%20z')
  const { headers, url } = JSON.parse(page.body)
  assert.equal(url, '/deep/page?x=1&y=%20z')
  assert.equal(headers['x-authentik-username'], 'jane')
  assert.equal(headers['x-authentik-groups'], 'staff|admins')
  assert.equal(Buffer.from(headers['x-authentik-name'], 'latin1').toString('utf8'), 'Jane Döe')
  assert.equal(headers.host, 'app.example')
  assert.equal(headers['x-forwarded-proto'], 'https')
})

test('nothing is stored and no session cookie is set before the callback', async t => {
  const all = await setUp(t)
  const { browser, provider } = all
  await untilCallback(all)
  assert.equal([...browser.cookies.keys()].length, 1)
  const [[name, { path }] = ['', { path: '' }]] = [...browser.cookies]
  assert.match(name, /^authentik_proxy_[0-9a-f]{8}_/)
  assert.equal(path, '/outpost.goauthentik.io/callback')
  assert.equal(await all.sessions.endByProvider(provider.client_id), 0)
})

test('the authorize request has PKCE, nonce, scopes and the exact redirect URI, and the state ends after ten minutes', async t => {
  const { browser } = await setUp(t)
  const start = await browser.get('https://app.example/outpost.goauthentik.io/start?rd=%2Fa')
  assert.equal(start.status, 302)
  const url = new URL(start.headers.location ?? '')
  assert.equal(url.origin + url.pathname, 'https://core.example/application/o/authorize/')
  assert.deepEqual([...url.searchParams.keys()], [...url.searchParams.keys()].sort())
  assert.equal(url.searchParams.get('scope'), 'openid profile email ak_proxy')
  assert.equal(url.searchParams.get('code_challenge_method'), 'S256')
  assert.match(url.searchParams.get('nonce') ?? '', /^[\w-]{22}$/)
  assert.equal(
    url.searchParams.get('redirect_uri'),
    'https://app.example/outpost.goauthentik.io/callback?X-authentik-auth-callback=true',
  )
  const state = decodeJwt(url.searchParams.get('state') ?? '')
  assert.equal((state.exp ?? 0) - (state.iat ?? 0), 600)
  assert.equal(state.redirect, 'https://app.example/a')
  assert.equal(state.round, 1)
})

test('the session cookie is bound to its host, secure, lax and lives as long as the token', async t => {
  const all = await setUp(t)
  const { browser, core, provider } = all
  core.tokenSeconds = 1000
  const reply = await browser.get(await untilCallback(all))
  const cookie =
    (reply.headers['set-cookie'] ?? []).find(one => /^authentik_proxy_[0-9a-f]{8}=/.test(one)) ?? ''
  assert.match(cookie, /; Path=\/; Max-Age=(1000|99\d); HttpOnly; Secure; SameSite=Lax$/)
  assert.ok(!cookie.includes(provider.cookie_secret))
  assert.equal([...browser.cookies.keys()].length, 1, 'the transaction cookie is gone')
})

test('a callback with a state that is missing, forged or of another provider is a 400 page', async t => {
  const all = await setUp(t)
  const { browser } = all
  const callback = new URL(await untilCallback(all))
  const other = await setUp(t)
  const foreign = new URL(await untilCallback(other)).searchParams.get('state') ?? ''
  const state = callback.searchParams.get('state') ?? ''
  for (const bad of [
    '',
    'x',
    `${state.slice(0, -2)}AA`,
    foreign,
    `${state.split('.').slice(0, 2).join('.')}.`,
  ]) {
    callback.searchParams.set('state', bad)
    const reply = await browser.get(callback.href)
    assert.equal(reply.status, 400)
    assert.equal(reply.headers.location, undefined)
    assert.match(reply.body, /Sign-in failed/)
  }
})

test('a state older than ten minutes is a 400 page that offers to start again at the same target', async t => {
  let time = Date.now()
  const upstream = await startUpstream(t)
  const core = createFakeCore([fakeProvider({ mode: 'proxy', internal_host: upstream.url })])
  const { port } = await startOutpost(t, core, { now: () => time })
  const browser = createBrowser(core, port)
  const start = await browser.get('https://app.example/outpost.goauthentik.io/start?rd=%2Fa%3Fb')
  const callback = core.authorize(start.headers.location ?? '')
  time += 601_000
  const reply = await browser.get(callback)
  assert.equal(reply.status, 400)
  assert.match(reply.body, /start\?rd=https%3A%2F%2Fapp\.example%2Fa%3Fb/)
})

test('a login whose cookie got lost starts again by itself once, then ends on a page that names the cause', async t => {
  const all = await setUp(t)
  const { browser, core } = all
  const callback = await untilCallback(all)
  browser.cookies.clear()
  const again = await browser.get(callback)
  assert.equal(again.status, 302)
  const second = new URL(again.headers.location ?? '')
  assert.equal(decodeJwt(second.searchParams.get('state') ?? '').round, 2)
  const back = core.authorize(second.href)
  browser.cookies.clear()
  const end = await browser.get(back)
  assert.equal(end.status, 400)
  assert.match(end.body, /Cookies may be blocked/)
  assert.match(end.body, /Try again/)
  assert.ok(all.lines.some(line => line.event === 'mismatched session ID'))
})

test('a login whose cookie got lost once completes at the page first asked for', async t => {
  const all = await setUp(t)
  const callback = await untilCallback(all, 'https://app.example/page?q=1')
  all.browser.cookies.clear()
  const page = await all.browser.visit(callback)
  assert.equal(page.status, 200)
  assert.equal(page.url, 'https://app.example/page?q=1')
})

test('a code is redeemed once: a replay goes on with the session, a replay without any does not use the code again', async t => {
  const all = await setUp(t)
  const { browser, core } = all
  const callback = await untilCallback(all)
  const before = new Map(browser.cookies)
  const both = await Promise.all([browser.get(callback), browser.get(callback)])
  assert.deepEqual(
    both.map(reply => [reply.status, reply.headers.location]),
    [
      [302, 'https://app.example/page'],
      [302, 'https://app.example/page'],
    ],
  )
  const replay = await browser.get(callback)
  assert.equal(replay.headers.location, 'https://app.example/page')
  const thief = createBrowser(core, all.port)
  const stolen = await thief.get(callback)
  assert.match(stolen.headers.location ?? '', /^https:\/\/core\.example\/application\/o\/authorize/)
  assert.equal(before.size, 1)
  assert.deepEqual(
    core.calls.filter(call => call === 'token:authorization_code'),
    ['token:authorization_code'],
  )
})

test('logins in parallel tabs all complete', async t => {
  const all = await setUp(t)
  const { browser, core } = all
  const callbacks = []
  for (const tab of [1, 2, 3]) callbacks.push(await untilCallback(all, `https://app.example/tab${tab}`))
  for (const [at, callback] of callbacks.entries()) {
    const reply = await browser.get(callback)
    assert.equal(reply.headers.location, `https://app.example/tab${at + 1}`)
  }
  assert.equal(core.calls.length, 3)
})

test('a hundred tabs leave at most five transaction cookies, and an overtaken login still ends signed in', async t => {
  const all = await setUp(t)
  const { browser } = all
  const first = await untilCallback(all, 'https://app.example/first')
  for (let tab = 0; tab < 100; tab++) await untilCallback(all)
  assert.equal(browser.cookies.size, 5)
  const page = await browser.visit(first)
  assert.equal(page.status, 200)
  assert.equal(page.url, 'https://app.example/first')
})

test('a failing redemption is an error page with a way to try again, never a circle', async t => {
  const all = await setUp(t)
  const { browser, core } = all
  for (const spoil of [
    () => {
      core.accessClaims = { iss: 'https://evil.example/' }
    },
    () => {
      core.accessClaims = { aud: 'someone-else' }
    },
    () => {
      core.accessClaims = { exp: 1 }
    },
    () => {
      core.accessClaims = { sub: 'another user' }
    },
    () => {
      core.accessClaims = {}
      core.idClaims = { nonce: 'another login' }
    },
    () => {
      core.idClaims = {}
      core.failing.set('backChannel', new Error('Core is away'))
    },
  ]) {
    spoil()
    const reply = await browser.get(await untilCallback(all))
    assert.equal(reply.status, 502)
    assert.match(reply.body, /Try again/)
    assert.equal(reply.headers.location, undefined)
  }
  assert.ok(all.lines.some(line => line.event === 'failed to redeem code' && line.level === 'error'))
  const raw = JSON.stringify([all.lines, all.access.map(line => line.fragment)])
  assert.ok(!/code_verifier":"[^*]/.test(raw))
})

test('an error Core sends back is a page, and a refusal is told as one', async t => {
  const all = await setUp(t)
  const callback = new URL(await untilCallback(all))
  callback.searchParams.delete('code')
  callback.searchParams.set('error', 'access_denied')
  const reply = await all.browser.get(callback.href)
  assert.equal(reply.status, 403)
  assert.match(reply.body, /not permitted/)
})

test('a login gets a new key, and the old session of the browser ends', async t => {
  const all = await setUp(t)
  const { browser, provider } = all
  await browser.visit('https://app.example/')
  const [[name, { value: old }] = ['', { value: '' }]] = [...browser.cookies]
  await browser.get(await untilLoggedInAgain())
  assert.notEqual(browser.cookies.get(name)?.value, old)
  const found = await all.sessions.find(
    { clientId: provider.client_id, cookieSecret: provider.cookie_secret },
    old,
  )
  assert.equal(found.kind, 'absent')

  async function untilLoggedInAgain() {
    const start = await browser.get('https://app.example/outpost.goauthentik.io/start')
    return all.core.authorize(start.headers.location ?? '')
  }
})

test('a made-up cookie is deleted and gives no session; a genuine one without session is left for the next login', async t => {
  const all = await setUp(t)
  const { browser, sessions } = all
  await browser.visit('https://app.example/')
  const [[name, cookie] = ['', { value: '', path: '/' }]] = [...browser.cookies]
  browser.cookies.set(name, {
    ...cookie,
    value: `${cookie.value.slice(0, -1)}${cookie.value.endsWith('A') ? 'B' : 'A'}`,
  })
  const forged = await browser.get('https://app.example/')
  assert.equal(forged.status, 302)
  assert.match(String(forged.headers['set-cookie']), new RegExp(`^${name}=; Path=/; Max-Age=0`))
  await sessions.endAll()
  browser.cookies.set(name, cookie)
  const gone = await browser.get('https://app.example/')
  assert.equal(gone.status, 302)
  assert.equal(gone.headers['set-cookie'], undefined)
  const page = await browser.visit('https://app.example/')
  assert.equal(page.status, 200)
})

test("a session of one application opens no other, even under that one's cookie name", async t => {
  const upstream = await startUpstream(t)
  const [a, b] = [1, 2].map(n =>
    fakeProvider({ mode: 'proxy', internal_host: upstream.url, external_host: `https://app${n}.example` }),
  ) as [ProxyProviderConfig, ProxyProviderConfig]
  const core = createFakeCore([a, { ...b, cookie_secret: a.cookie_secret }])
  const { port } = await startOutpost(t, core)
  const browser = createBrowser(core, port)
  await browser.visit('https://app1.example/')
  const [cookie] = [...browser.cookies.values()]
  const toB = await browser.visit('https://app2.example/')
  assert.equal(toB.status, 200)
  const nameOfB = [...browser.cookies.keys()].find(name => browser.cookies.get(name) !== cookie) ?? ''
  browser.cookies.set(nameOfB, cookie ?? { value: '', path: '/' })
  assert.equal((await browser.get('https://app2.example/')).status, 302)
})

test('sign-out ends every session of the login, tells Core and goes to its end-session page', async t => {
  const all = await setUp(t)
  const { browser, core, port } = all
  const second = createBrowser(core, port)
  await browser.visit('https://app.example/')
  await second.visit('https://app.example/')
  const out = await browser.get('https://app.example/outpost.goauthentik.io/sign_out')
  assert.equal(out.status, 302)
  assert.match(
    out.headers.location ?? '',
    /^https:\/\/core\.example\/application\/o\/app-\d+\/end-session\/\?id_token_hint=ey/,
  )
  assert.equal(browser.cookies.size, 0)
  assert.equal((await second.get('https://app.example/')).status, 302)
  assert.deepEqual(core.sent, [{ instruction: 3, args: { sub_type: 'logout', session_id: core.user.sid } }])
  const nobody = await browser.get('https://app.example/outpost.goauthentik.io/sign_out')
  assert.match(nobody.headers.location ?? '', /\/outpost\.goauthentik\.io\/start$/)
})

test('the first login after a sign-out works', async t => {
  const { browser } = await setUp(t)
  await browser.visit('https://app.example/')
  await browser.visit('https://app.example/x?X-authentik-logout=true')
  const page = await browser.visit('https://app.example/again')
  assert.equal(page.status, 200)
  assert.equal(page.url, 'https://app.example/again')
})

test('SESSION_END closes the session at once and is answered by a receipt; an empty one ends nothing', async t => {
  const { browser, core, outpost } = await setUp(t)
  await browser.visit('https://app.example/')
  core.push(4, { type: 'event.session.end', session_id: '' })
  assert.equal((await browser.get('https://app.example/')).status, 200)
  core.push(4, { type: 'event.session.end', session_id: core.user.sid, id: 7 })
  await until(async () => (await browser.get('https://app.example/')).status === 302, 'the session to end')
  await until(() => core.sent.length === 1, 'the receipt')
  const [receipt] = core.sent
  assert.equal(receipt?.instruction, 3)
  assert.equal(receipt?.args.sub_type, 'session_end.applied')
  assert.equal(receipt?.args.id, 7)
  assert.equal(core.handlers?.hello().last_revocation, 7)
  assert.equal(outpost.status().connected, true)
})

test('SESSION_END of a user ends all sessions of that user and nobody else', async t => {
  const { browser, core, port } = await setUp(t)
  await browser.visit('https://app.example/')
  core.user = { sub: 'c'.repeat(64), sid: 'd'.repeat(64) }
  const other = createBrowser(core, port)
  await other.visit('https://app.example/')
  core.push(4, { type: 'event.session.end', session_id: '', user: 'a'.repeat(64) })
  await until(async () => (await browser.get('https://app.example/')).status === 302, 'the session to end')
  assert.equal((await other.get('https://app.example/')).status, 200)
})

test('while the store is away a signed-in user gets 503 with Retry-After, a stranger the normal login; it heals by itself', async t => {
  const upstream = await startUpstream(t)
  const core = createFakeCore([fakeProvider({ mode: 'proxy', internal_host: upstream.url })])
  const { port, setStoreDown, outpost } = await startOutpost(t, core, { leaseMs: 0 })
  const browser = createBrowser(core, port)
  await browser.visit('https://app.example/')
  setStoreDown(true)
  const away = await browser.get('https://app.example/')
  assert.equal(away.status, 503)
  assert.equal(away.headers['retry-after'], '5')
  assert.equal(away.headers.location, undefined)
  const stranger = await ask({ port, host: 'app.example', headers: { 'x-forwarded-proto': 'https' } })
  assert.equal(stranger.status, 302)
  assert.equal((await outpost.ready()).ok, false)
  setStoreDown(false)
  assert.equal((await browser.get('https://app.example/')).status, 200)
  assert.equal((await outpost.ready()).ok, true)
})

test('programs get 401 with the login address instead of a redirect', async t => {
  const { port } = await setUp(t)
  const base = { port, host: 'app.example', path: '/api?x=1' }
  for (const headers of [
    { 'sec-fetch-mode': 'cors' },
    { 'x-requested-with': 'XMLHttpRequest' },
    { accept: 'application/json' },
  ] as Record<string, string>[]) {
    const reply = await ask({ ...base, headers: { ...headers, 'x-forwarded-proto': 'https' } })
    assert.equal(reply.status, 401)
    assert.equal(
      JSON.parse(reply.body).login_url,
      'https://app.example/outpost.goauthentik.io/start?rd=https%3A%2F%2Fapp.example%2Fapi%3Fx%3D1',
    )
  }
  for (const accept of ['text/html,*/*;q=0.8', '*/*'])
    assert.equal((await ask({ ...base, headers: { accept } })).status, 302)
})

test('targets of a login are refused unless they stay on the host', async t => {
  const { port, browser } = await setUp(t)
  const redirectOf = async (rd: string) => {
    const start = await browser.get(
      `https://app.example/outpost.goauthentik.io/start?rd=${encodeURIComponent(rd)}`,
    )
    return decodeJwt(new URL(start.headers.location ?? '').searchParams.get('state') ?? '').redirect
  }
  assert.equal(await redirectOf('/foo?a=b'), 'https://app.example/foo?a=b')
  assert.equal(await redirectOf('https://app.example/test'), 'https://app.example/test')
  for (const evil of [
    'https://google.com',
    '//evil.test/x',
    '/\\evil.test',
    'https:\\\\evil.test',
    'https://app.example.evil.test/',
    'https://app.example:8443/',
    'https://app.example@evil.test/',
    'https://user@app.example/',
    'javascript:alert(1)',
    'data:text/html,x',
    'ftp://app.example/',
    '\thttps://evil.test',
    `/${'a'.repeat(5000)}`,
  ])
    assert.equal(await redirectOf(evil), '', evil)
  assert.ok(port > 0)
})

test('neither the access log nor the log holds a code, a state, a token or a cookie', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-access-'))
  const file = await open(join(folder, 'access.log'), 'w+')
  t.after(async () => {
    await file.close()
    await rm(folder, { recursive: true, force: true })
  })
  const accessLog = createAccessLog({ fd: file.fd })
  const upstream = await startUpstream(t)
  const core = createFakeCore([fakeProvider({ mode: 'proxy', internal_host: upstream.url })])
  const { port, lines } = await startOutpost(t, core, { accessLog })
  const seen: string[] = []
  const authorize = core.authorize
  core.authorize = url => {
    const back = authorize(url)
    seen.push(url, back)
    return back
  }
  const browser = createBrowser(core, port)
  const page = await browser.visit('https://app.example/page?a=1')
  const out = await browser.visit('https://app.example/outpost.goauthentik.io/sign_out')
  await accessLog.close()
  const text = (await readFile(join(folder, 'access.log'), 'utf8')) + JSON.stringify(lines)
  assert.match(text, /"event":"\/page\?a=1".*"status":200.*"user":"jane"/)
  const names = ['code', 'state', 'nonce', 'id_token_hint']
  const secrets = [...seen, ...out.hops].flatMap(url =>
    [...new URL(url).searchParams].filter(([name]) => names.includes(name)).map(([, value]) => value),
  )
  assert.ok(secrets.length >= 5)
  secrets.push(JSON.parse(page.body).headers['x-authentik-jwt'])
  for (const secret of secrets) assert.ok(!text.includes(secret), secret)
})
