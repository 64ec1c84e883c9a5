// Credentials in the Authorization header.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { ProxyProviderConfig } from '../../src/wire/outpost.ts'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { ask, startOutpost, startUpstream, until } from './harness.ts'

async function setUp(t: TestContext, about: Partial<ProxyProviderConfig> = {}) {
  const upstream = await startUpstream(t)
  const provider = fakeProvider({ mode: 'proxy', internal_host: upstream.url, ...about })
  const core = createFakeCore([provider])
  let time = Date.now()
  const running = await startOutpost(t, core, { now: () => time })
  core.tokens.set('good', {
    active: true,
    sub: 'robot',
    client_id: provider.client_id,
    sid: 's1',
    preferred_username: 'robot',
  })
  core.passwords.set('app', 'secret')
  const get = (authorization: string, headers: Record<string, string> = {}) =>
    ask({ port: running.port, host: 'app.example', headers: { authorization, ...headers } })
  const pass = (ms: number) => {
    time += ms
  }
  return { ...running, core, provider, get, pass }
}

const basic = (user: string, password: string) =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

test('a bearer token signs in, sets a cookie, and is asked about once a minute', async t => {
  const { get, core, pass, provider, sessions } = await setUp(t)
  const first = await get('bearer good')
  assert.equal(first.status, 200)
  assert.equal(JSON.parse(first.body).headers['x-authentik-username'], 'robot')
  assert.match(String(first.headers['set-cookie']), /^authentik_proxy_/)
  const second = await get('bearer good')
  assert.equal(second.status, 200)
  assert.equal(second.headers['set-cookie'], undefined)
  assert.deepEqual(core.calls, ['introspection:'])
  pass(61_000)
  assert.equal((await get('bearer good')).status, 200)
  assert.equal(core.calls.length, 2)
  assert.equal(await sessions.endByProvider(provider.client_id), 1, 'no new row per minute')
})

test('credentials meant for the outpost never go upstream: first time, from memory, or beside the cookie they made', async t => {
  const { get } = await setUp(t)
  for (const authorization of ['Bearer good', basic('app', 'secret')]) {
    const first = await get(authorization)
    const cookie = String(first.headers['set-cookie']).split(';')[0] ?? ''
    for (const reply of [first, await get(authorization), await get(authorization, { cookie })]) {
      assert.equal(reply.status, 200)
      assert.equal(JSON.parse(reply.body).headers.authorization, undefined)
    }
  }
})

test('app passwords sign in by user name or as a token', async t => {
  const { get } = await setUp(t)
  const reply = await get(basic('app', 'secret'))
  assert.equal(JSON.parse(reply.body).headers['x-authentik-username'], 'app')
  const asToken = await get(basic('goauthentik.io/token', 'good'))
  assert.equal(JSON.parse(asToken.body).headers['x-authentik-username'], 'robot')
})

test('tokens that are inactive, expired, of another client or of nobody are refused', async t => {
  const { get, core, provider } = await setUp(t)
  const good = { active: true, sub: 'x', client_id: provider.client_id, aud: provider.client_id }
  core.tokens.set('inactive', { ...good, active: false })
  core.tokens.set('truthy', { ...good, active: 'true' })
  core.tokens.set('expired', { ...good, exp: 1 })
  core.tokens.set('other-client', { ...good, client_id: 'other' })
  core.tokens.set('other-audience', { ...good, aud: ['other'] })
  core.tokens.set('nobody', { ...good, sub: '' })
  for (const token of ['unknown', ...core.tokens.keys()])
    assert.equal((await get(`Bearer ${token}`)).status, token === 'good' ? 200 : 401, token)
  for (const value of [
    basic('app', 'wrong'),
    'Basic !!!',
    'Basic',
    basic('', 'secret'),
    'Bearer',
    'Digest x',
  ])
    assert.equal((await get(value)).status, 401, value)
})

test('refused credentials: 401 without redirect when the provider takes them, else the normal login', async t => {
  const taken = await setUp(t)
  const refused = await taken.get('Bearer bad')
  assert.equal(refused.headers.location, undefined)
  assert.match(
    refused.body,
    /Due to &#39;Receive header authentication&#39; being set, no redirect is performed\./,
  )
  const ignored = await setUp(t, { intercept_header_auth: false })
  assert.equal((await ignored.get('Bearer bad')).status, 302)
})

test('a session made for a header lives no longer than its token', async t => {
  const { get, core, pass, provider, port } = await setUp(t)
  core.tokens.set('short', {
    active: true,
    sub: 'x',
    client_id: provider.client_id,
    exp: Math.floor(Date.now() / 1000) + 20,
  })
  const first = await get('Bearer short')
  const [, seconds] = /Max-Age=(\d+)/.exec(String(first.headers['set-cookie'])) ?? []
  assert.ok(Number(seconds) <= 20)
  assert.ok(port > 0)
  pass(21_000)
  assert.equal((await get('Bearer short')).status, 401)
})

test('the end of a session evicts the memory of its credentials', async t => {
  const { get, core } = await setUp(t)
  await get('Bearer good')
  core.tokens.delete('good')
  assert.equal((await get('Bearer good')).status, 200)
  core.push(4, { session_id: 's1' })
  await until(async () => (await get('Bearer good')).status === 401, 'the eviction')
})

test('many requests with the same new credentials ask Core once', async t => {
  const { get, core } = await setUp(t)
  const replies = await Promise.all(Array.from({ length: 10 }, () => get('Bearer good')))
  assert.ok(replies.every(reply => reply.status === 200))
  assert.equal(core.calls.length, 1)
})

test('a header login works while the session store is away, without a cookie', async t => {
  const { get, setStoreDown } = await setUp(t)
  setStoreDown(true)
  const reply = await get('Bearer good')
  assert.equal(reply.status, 200)
  assert.equal(reply.headers['set-cookie'], undefined)
})
