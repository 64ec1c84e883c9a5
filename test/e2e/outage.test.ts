import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { startEmbeddedPostgres } from '../../src/pg/embedded.ts'
import { createClient } from './http-client.ts'
import { freePort, temporaryFolder } from './installation.ts'
import { addApplication, addOutpost, giveToEmbedded, officialClient } from './official-client.ts'
import { databaseEnv, describeSite, startService, until } from './production.ts'
import { type Seen, startUpstream } from './upstream.ts'

const title =
  'while PostgreSQL is away, who is signed in gets 503 and nobody is sent through a login; then all goes on by itself'

test(title, { timeout: 180_000 }, async t => {
  const dataDir = await temporaryFolder(t)
  const start = () => startEmbeddedPostgres({ dataDir, log: silentLog, endWithUs: true })
  let postgres = await start()
  const upstream = await startUpstream(t)
  const site = await describeSite(postgres.target)
  const corePort = Number(new URL(site.coreUrl).port)
  const server = await startService(t, 'server', site.env, { port: corePort })
  const api = officialClient(server.url, site.token)
  const port = await freePort()
  const urls = [`http://wiki.localhost:${port}`, `http://inner.localhost:${corePort}`] as const
  const add = (slug: string, externalHost: string) =>
    addApplication(api, { slug, externalHost, internalHost: upstream.url })
  const wiki = await add('wiki', urls[0])
  const { token } = await addOutpost(api, 'edge', [wiki], {
    authentik_host: site.coreUrl,
    session_backend: 'postgres',
  })
  await giveToEmbedded(api, [await add('inner', urls[1])])
  const outpost = await startService(
    t,
    'proxy',
    { ...databaseEnv(postgres.target), AUTHENTIK_HOST: server.url, AUTHENTIK_TOKEN: token },
    { port },
  )
  const stranger = createClient()
  const statusOf = async (url: string) => (await stranger.ask(url)).status
  await until('the embedded outpost serves', async () => (await statusOf(`${urls[1]}/`)) === 302)
  const person = createClient()
  assert.equal((await person.signIn(`${urls[0]}/`, 'akadmin', site.password)).status, 200)
  assert.equal((await person.visit(`${urls[1]}/`)).status, 200)
  const services = [server, outpost]
  const cookies = person.cookies.map(({ name, value }) => `${name}=${value}`).sort()

  await postgres.stop()

  await t.test('live, but not ready, and readiness names the database', async () => {
    for (const { metricsUrl } of services) {
      await until('not ready', async () => (await statusOf(`${metricsUrl}/-/health/ready/`)) === 503)
      assert.equal(await statusOf(`${metricsUrl}/-/health/live/`), 200)
    }
    const said = JSON.parse((await stranger.ask(`${server.url}/-/health/ready/`)).body)
    assert.equal(said.ok, false)
    assert.notEqual(said.checks.database, 'ok')
    assert.equal(JSON.stringify(said).includes(postgres.target.password), false)
  })

  await t.test('a known session is told to come back, its cookie is kept', async () => {
    for (const url of urls) {
      // Within the lease the outpost answers from memory; after it, it must not guess.
      await until('the lease is over', async () => (await person.ask(`${url}/`)).status !== 200)
      const answer = await person.ask(`${url}/`)
      assert.equal(answer.status, 503, url)
      assert.match(String(answer.headers['retry-after']), /^\d+$/)
      assert.equal(answer.headers.location, undefined)
      assert.equal(answer.headers['set-cookie'], undefined)
      assert.doesNotMatch(answer.body, /ECONN|ENOENT|\n {4}at /)
    }
    assert.deepEqual(person.cookies.map(({ name, value }) => `${name}=${value}`).sort(), cookies)
  })

  await t.test('whoever has no session is sent to the login as ever', async () => {
    for (const url of urls) {
      const answer = await createClient().ask(`${url}/page`)
      assert.equal(answer.status, 302, url)
    }
  })

  await t.test('a forged cookie is no known session', async () => {
    const name = person.cookies.find(cookie => cookie.name.startsWith('authentik_proxy_'))?.name
    const answer = await createClient().ask(`${urls[0]}/`, {
      headers: { Cookie: `${name}=${'A'.repeat(54)}` },
    })
    assert.equal(answer.status, 302)
  })

  await t.test('the API answers 503 with Retry-After, and says nothing about the inside', async () => {
    const headers = { Accept: 'application/json', Authorization: `Bearer ${site.token}` }
    const answer = await stranger.ask(`${server.url}/api/v3/core/users/me/`, { headers })
    assert.equal(answer.status, 503)
    assert.match(String(answer.headers['retry-after']), /^\d+$/)
    assert.doesNotMatch(answer.body, /ECONN|ENOENT|postgres|\n {4}at /i)
  })

  postgres = await start()
  t.after(() => postgres.stop())

  await t.test('when it is back, the same programs serve the same sessions', async () => {
    for (const url of urls)
      await until('open again', async () => (await person.ask(`${url}/`)).status === 200)
    const seen = JSON.parse((await person.ask(`${urls[0]}/`)).body) as Seen
    assert.equal(seen.headers['x-authentik-username'], 'akadmin')
    for (const { metricsUrl } of services)
      await until('ready again', async () => (await statusOf(`${metricsUrl}/-/health/ready/`)) === 200)
    const me = await person.ask(`${site.coreUrl}/api/v3/core/users/me/`)
    assert.equal(me.status, 200)
  })

  await t.test('and messages between them flow again', async () => {
    const late = `http://late.localhost:${port}`
    const provider = await add('late', late)
    const { results } = await api.outposts.outpostsInstancesList({ nameIexact: 'edge' })
    await api.outposts.outpostsInstancesPartialUpdate({
      uuid: results[0]?.pk ?? '',
      patchedOutpostRequest: { providers: [wiki, provider] },
    })
    await until('the new application is served', async () => (await statusOf(`${late}/`)) === 302)
  })
  for (const { program } of services) assert.equal(await program.stop(), 0)
})
