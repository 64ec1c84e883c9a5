// The way of a browser into an application and back out of it, mode `proxy`.
import assert from 'node:assert/strict'
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { decodeJwt } from 'jose'
import { createAccessLog } from '../../src/http/access-log.ts'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { ask, createBrowser, startOutpost, startUpstream } from './harness.ts'
import { setUp, untilCallback } from './login-walk.ts'

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
