// Sessions that near their end are renewed by a navigation, as long as Core still knows the user, and by nothing else.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { ask, type Browser } from './harness.ts'
import { type Front, judge, setUp as setUpJudging, signIn } from './judge.ts'
import { setUp } from './login-walk.ts'

const page = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }

/** A browser whose session ends soon, and a Core whose next tokens live an hour. */
async function nearTheEnd(t: TestContext) {
  const all = await setUp(t)
  const { browser, core, provider } = all
  core.tokenSeconds = 100
  await browser.visit('https://app.example/')
  core.tokenSeconds = 3600
  const about = { clientId: provider.client_id, cookieSecret: provider.cookie_secret }
  return { ...all, about, old: sessionOf(browser) }
}

function sessionOf(browser: Browser): string {
  const [, cookie] = [...browser.cookies].find(([name]) => /^authentik_proxy_[0-9a-f]{8}$/.test(name)) ?? []
  return cookie?.value ?? ''
}

test('a page opened shortly before the end of a session renews it on the way, and Core is told to ask nothing', async t => {
  const { browser, sessions, about, old } = await nearTheEnd(t)
  const reply = await browser.visit('https://app.example/deep?x=1', page)
  assert.equal(reply.status, 200)
  assert.equal(reply.url, 'https://app.example/deep?x=1')
  assert.equal(new URL(reply.hops[0] ?? '').searchParams.get('prompt'), 'none')
  assert.notEqual(sessionOf(browser), old)
  const found = await sessions.find(about, sessionOf(browser))
  assert.ok(found.kind === 'session' && found.session.expiresAt > Date.now() + 3_500_000)
  assert.equal((await sessions.find(about, old)).kind, 'session', 'streams of the old session run on')
  assert.equal(browser.cookies.size, 1, 'no mark is left')
  assert.deepEqual((await browser.visit('https://app.example/', page)).hops, [])
})

test('when Core would have to ask, the user notices nothing, and it is not tried again', async t => {
  const { browser, core, old } = await nearTheEnd(t)
  core.authorize = refusing(core.authorize)
  const reply = await browser.visit('https://app.example/deep?x=1', page)
  assert.equal(reply.status, 200)
  assert.equal(reply.hops.length, 2)
  assert.equal(sessionOf(browser), old)
  assert.deepEqual((await browser.visit('https://app.example/', page)).hops, [])
})

test('a renewal that fails for whatever reason leaves the session as it is', async t => {
  const { browser, core, old } = await nearTheEnd(t)
  core.failing.set('backChannel', new Error('Core went away'))
  assert.equal((await browser.visit('https://app.example/', page)).status, 200)
  assert.equal(sessionOf(browser), old)
})

test('a renewal that brings another user ends the session of the first', async t => {
  const { browser, core, sessions, about, old } = await nearTheEnd(t)
  core.user = { sub: 'c'.repeat(64), sid: 'd'.repeat(64) }
  assert.equal((await browser.visit('https://app.example/', page)).status, 200)
  assert.equal((await sessions.find(about, old)).kind, 'absent')
})

test('nothing but opening a page by GET is sent on a round trip', async t => {
  const { browser, port, old } = await nearTheEnd(t)
  const name = [...browser.cookies.keys()][0]
  const base = { port, host: 'app.example' }
  const others: { method?: string; headers: Record<string, string> }[] = [
    { method: 'POST', headers: page },
    { headers: { ...page, 'sec-fetch-mode': 'cors' } },
    { headers: { ...page, 'sec-fetch-dest': 'iframe' } },
    { headers: { 'sec-fetch-mode': 'navigate' } },
    { headers: {} },
    { headers: { ...page, 'x-forwarded-method': 'POST' } },
    { headers: { ...page, authorization: 'Bearer of-the-application' } },
  ]
  for (const { method, headers } of others) {
    const cookie = `${name}=${old}`
    const reply = await ask({
      ...base,
      method,
      headers: { 'x-forwarded-proto': 'https', cookie, ...headers },
    })
    assert.equal(reply.status, 200, JSON.stringify({ method, headers }))
  }
})

test('front proxies that pass redirects on renew as well; nginx, which does not, never', async t => {
  const all = await setUpJudging(t)
  all.core.tokenSeconds = 100
  const cookie = await signIn(all)
  const ofPage = { ...page, cookie, 'x-forwarded-method': 'GET' }
  const status = async (front: Front, headers: Record<string, string>) =>
    (await judge(all.port, front, 'https://app.example/page', headers)).status
  assert.equal(await status('traefik', ofPage), 302)
  assert.equal(await status('caddy', ofPage), 302)
  assert.equal(await status('nginx', ofPage), 200)
  assert.equal(await status('traefik', { ...ofPage, 'x-forwarded-method': 'POST' }), 200)
})

/** A Core without a session, which may not ask. */
function refusing(authorize: (url: string) => string): (url: string) => string {
  return url => {
    const back = new URL(authorize(url))
    back.searchParams.delete('code')
    back.searchParams.set('error', 'login_required')
    return back.href
  }
}
