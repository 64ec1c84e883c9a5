// Several outposts over one PostgreSQL: restarts and replicas log nobody out, a sign-out holds everywhere.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createPostgresStore } from '../../src/proxy/sessions/store-postgres.ts'
import { testDatabase } from '../postgres.ts'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { createBrowser, startOutpost, startUpstream, until } from './harness.ts'

async function setUp(t: TestContext, leaseMs = 2000) {
  const database = await testDatabase(t)
  const upstream = await startUpstream(t)
  const core = createFakeCore([fakeProvider({ mode: 'proxy', internal_host: upstream.url })])
  const replica = () => {
    const store = createPostgresStore({ pool: database.pool, schema: database.schema })
    return startOutpost(t, core, { store, leaseMs })
  }
  return { core, replica, database }
}

test('a login started at one replica ends at another, and holds at every replica and after a restart', async t => {
  const { core, replica } = await setUp(t)
  const [first, second] = [await replica(), await replica()]
  const browser = createBrowser(core, first.port)
  const start = await browser.get('https://app.example/outpost.goauthentik.io/start?rd=%2Fpage')
  const callback = core.authorize(start.headers.location ?? '')
  const elsewhere = createBrowser(core, second.port)
  for (const [name, cookie] of browser.cookies) elsewhere.cookies.set(name, cookie)
  assert.equal((await elsewhere.get(callback)).headers.location, 'https://app.example/page')
  for (const [name, cookie] of elsewhere.cookies) browser.cookies.set(name, cookie)
  assert.equal((await browser.get('https://app.example/page')).status, 200)
  await first.outpost.close()
  await second.outpost.close()
  const restarted = createBrowser(core, (await replica()).port)
  for (const [name, cookie] of elsewhere.cookies) restarted.cookies.set(name, cookie)
  assert.equal((await restarted.get('https://app.example/page')).status, 200)
})

test('a sign-out at one replica closes the others within the lease, without any push', async t => {
  const { core, replica } = await setUp(t, 200)
  const [first, second] = [await replica(), await replica()]
  const browser = createBrowser(core, first.port, {})
  await browser.visit('https://app.example/')
  const other = createBrowser(core, second.port)
  for (const [name, cookie] of browser.cookies) other.cookies.set(name, cookie)
  assert.equal((await other.get('https://app.example/')).status, 200)
  const signedOutAt = Date.now()
  await browser.visit('https://app.example/outpost.goauthentik.io/sign_out')
  await until(
    async () => (await other.get('https://app.example/')).status === 302,
    'the other replica to close',
  )
  assert.ok(Date.now() - signedOutAt < 15_000)
})

test('a warm request costs no statement, a cold one exactly one, strangers and forged cookies none', async t => {
  const { core, replica, database } = await setUp(t, 30_000)
  const first = await replica()
  const browser = createBrowser(core, first.port)
  await browser.visit('https://app.example/')
  const cold = createBrowser(core, (await replica()).port)
  for (const [name, cookie] of browser.cookies) cold.cookies.set(name, cookie)
  const page = async (one: typeof browser) => {
    const { status } = await one.get('https://app.example/')
    return status
  }
  assert.equal((await database.countStatements(async () => assert.equal(await page(cold), 200))).length, 1)
  const warm = await database.countStatements(async () => {
    for (let round = 0; round < 10; round++) assert.equal(await page(cold), 200)
  })
  assert.deepEqual(warm, [])
  const strangers = await database.countStatements(async () => {
    const stranger = createBrowser(core, first.port)
    assert.equal(await page(stranger), 302)
    const [name = ''] = browser.cookies.keys()
    stranger.cookies.set(name, { value: 'x'.repeat(54), path: '/' })
    assert.equal(await page(stranger), 302)
  })
  assert.deepEqual(strangers, [])
})
