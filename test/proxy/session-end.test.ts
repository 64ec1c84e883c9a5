// What keeps a session and what ends it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ProxyProviderConfig } from '../../src/wire/outpost.ts'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { ask, createBrowser, startOutpost, startUpstream, until } from './harness.ts'
import { setUp } from './login-walk.ts'

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

test('SESSION_END with a provider ends what the user has there, or all of the provider, as far as it began before', async t => {
  const upstream = await startUpstream(t)
  const at = (n: number) =>
    fakeProvider({ mode: 'proxy', internal_host: upstream.url, external_host: `https://app${n}.example` })
  const [one, two] = [at(1), at(2)]
  const core = createFakeCore([one, two])
  const { port } = await startOutpost(t, core)
  const statusAt = async (browser: ReturnType<typeof createBrowser>, n: number) =>
    (await browser.get(`https://app${n}.example/`)).status
  const [ann, bob] = [createBrowser(core, port), createBrowser(core, port)]
  for (const n of [1, 2]) await ann.visit(`https://app${n}.example/`)
  const user = core.user.sub
  core.user = { sub: 'c'.repeat(64), sid: 'd'.repeat(64) }
  await bob.visit('https://app1.example/')
  const end = (id: number, args: object) =>
    core.push(4, { type: 'event.session.end', session_id: '', id, at: Date.now(), ...args })
  end(1, { user, client_id: one.client_id })
  await until(async () => (await statusAt(ann, 1)) === 302, 'the session to end')
  assert.deepEqual([await statusAt(ann, 2), await statusAt(bob, 1)], [200, 200])
  end(2, { client_id: one.client_id, at: Date.now() - 3_600_000 })
  await until(() => core.sent.length === 2, 'the receipt')
  assert.equal(await statusAt(bob, 1), 200, 'it began after what Core speaks of')
  end(3, { client_id: one.client_id })
  await until(async () => (await statusAt(bob, 1)) === 302, 'the session to end')
  await until(() => core.sent.length === 3, 'the receipt')
  assert.equal(await statusAt(ann, 2), 200)
  assert.deepEqual(
    core.sent.map(({ args }) => [args.sub_type, args.id]),
    [1, 2, 3].map(id => ['session_end.applied', id]),
  )
})

test('what Core says again about a user, to an outpost that starts or twice, does not end what began after it', async t => {
  const { browser, core } = await setUp(t)
  const at = Date.now() - 10_000
  await browser.visit('https://app.example/')
  core.push(4, { type: 'event.session.end', session_id: '', user: core.user.sub, id: 5, at })
  await until(() => core.sent.length === 1, 'the receipt')
  assert.equal((await browser.get('https://app.example/')).status, 200)
  core.push(4, { type: 'event.session.end', session_id: '', user: core.user.sub, id: 6, at: Date.now() })
  await until(async () => (await browser.get('https://app.example/')).status === 302, 'the session to end')
  browser.cookies.clear()
  await browser.visit('https://app.example/')
  core.push(4, { type: 'event.session.end', session_id: '', user: core.user.sub, id: 6, at: Date.now() })
  await until(() => core.sent.length === 3, 'another receipt')
  assert.equal((await browser.get('https://app.example/')).status, 200, 'the same revocation once more')
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
