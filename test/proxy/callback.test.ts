// The way back from Core: what completes a login, what starts it again, and what ends on a page.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeJwt } from 'jose'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { createBrowser, startOutpost, startUpstream } from './harness.ts'
import { setUp, untilCallback } from './login-walk.ts'

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
