// Outposts behind one address that do not share their sessions: the circle ends on a page that names the cause.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { createBrowser, startOutpost, startUpstream } from './harness.ts'
import { setUp, untilCallback } from './login-walk.ts'

/** Two outposts with a store each: callbacks go to one, pages to the other. */
async function apart(t: TestContext) {
  const upstream = await startUpstream(t)
  const core = createFakeCore([fakeProvider({ mode: 'proxy', internal_host: upstream.url })])
  const [callbacks, pages] = [await startOutpost(t, core), await startOutpost(t, core)]
  const [toCallbacks, toPages] = [createBrowser(core, callbacks.port), createBrowser(core, pages.port)]
  // One jar for both.
  const share = (from: typeof toPages, to: typeof toPages) => {
    to.cookies.clear()
    for (const [name, cookie] of from.cookies) to.cookies.set(name, cookie)
  }
  const get = async (url: string) => {
    const isCallback = new URL(url).pathname.endsWith('/callback')
    const [mine, other] = isCallback ? [toCallbacks, toPages] : [toPages, toCallbacks]
    const reply = await mine.get(url)
    share(mine, other)
    return reply
  }
  return { core, get, pages }
}

test('a browser whose session is never found again ends on a page in the third login, and the log says what to do', async t => {
  const { core, get, pages } = await apart(t)
  let url = 'https://app.example/page'
  let logins = 0
  let reply = await get(url)
  while (reply.status === 302) {
    const location = new URL(reply.headers.location ?? '', url).href
    if (location.startsWith('https://core.example/')) logins++
    assert.ok(logins <= 3, 'a circle')
    url = location.startsWith('https://core.example/') ? core.authorize(location) : location
    reply = await get(url)
  }
  assert.equal(reply.status, 400)
  assert.equal(logins, 2)
  assert.match(reply.body, /your session was not found afterwards/)
  assert.match(reply.body, /start\?rd=https%3A%2F%2Fapp\.example%2Fpage/)
  const said = pages.lines.find(line => line.event === 'login loop: a session was stored and not found again')
  assert.match(String(said?.hint), /session_backend to postgres/)
  const again = await get('https://app.example/outpost.goauthentik.io/start')
  assert.equal(again.status, 302, 'trying again begins anew')
})

test('tabs that all find the same session gone sign in side by side', async t => {
  const all = await setUp(t)
  const { browser, sessions, provider } = all
  await browser.visit('https://app.example/')
  await sessions.endByProvider(provider.client_id)
  const callbacks: string[] = []
  for (let tab = 0; tab < 5; tab++) callbacks.push(await untilCallback(all, `https://app.example/tab-${tab}`))
  for (const [tab, callback] of callbacks.entries()) {
    const reply = await browser.get(callback)
    assert.equal(reply.headers.location, `https://app.example/tab-${tab}`)
    assert.equal((await browser.get(reply.headers.location ?? '')).status, 200)
  }
})

test('a session that is ended twice within a minute shows the page once, and trying again works', async t => {
  const { browser, sessions, provider } = await setUp(t)
  for (let round = 0; round < 2; round++) {
    assert.equal((await browser.visit('https://app.example/')).status, 200)
    await sessions.endByProvider(provider.client_id)
  }
  assert.equal(
    (await browser.visit('https://app.example/')).status,
    400,
    'a third within a minute is suspicious',
  )
  assert.equal((await browser.visit('https://app.example/')).status, 200)
})
