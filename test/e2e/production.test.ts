import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testDatabase } from '../postgres.ts'
import { startProgram } from '../programs.ts'
import { createClient } from './http-client.ts'
import { freePort, temporaryFolder } from './installation.ts'
import { addApplication, addOutpost, giveToEmbedded, officialClient } from './official-client.ts'
import { answers, describeSite, type Service, startService, until } from './production.ts'
import { type Seen, startUpstream } from './upstream.ts'

/**
 * A pushed change is gathered for up to 0.5 s and waits up to 1 s in the outpost, so that many do not ask at once; the rest is for a
 * busy machine. Without the push it would take the refresh interval, five minutes.
 */
const pushMs = 6000

test('two servers, a worker and two outposts on one database', { timeout: 240_000 }, async t => {
  const database = await testDatabase(t, { migrated: false })
  const upstream = await startUpstream(t)
  const site = await describeSite(database.target())
  const sessionFolder = await temporaryFolder(t)
  const corePort = Number(new URL(site.coreUrl).port)
  const env = { ...site.env, POSTERN_MIGRATE: 'off' }

  await t.test('`migrate` prepares an empty database, and finds nothing to do the second time', async t => {
    const first = startProgram(t, ['migrate'], site.env)
    assert.equal(await first.ended, 0, first.output())
    assert.match(first.output(), /Applied migrations 1, /)
    const second = startProgram(t, ['migrate'], site.env)
    assert.equal(await second.ended, 0, second.output())
    assert.match(second.output(), /The database is up to date\.\n/)
  })

  const [one, two, worker] = await Promise.all([
    startService(t, 'server', env, { port: corePort }),
    startService(t, 'server', env),
    startService(t, 'worker', env),
  ])
  const api = officialClient(one.url, site.token)
  const ports = { files: await freePort(), rows: await freePort() }
  const urls = {
    files: `http://files.localhost:${ports.files}`,
    rows: `http://rows.localhost:${ports.rows}`,
    inner: `http://inner.localhost:${corePort}`,
  }
  const add = (slug: string, externalHost: string) =>
    addApplication(api, { slug, externalHost, internalHost: upstream.url })
  const providers = { files: await add('files', urls.files), rows: await add('rows', urls.rows) }
  const filesOutpost = await addOutpost(api, 'files', [providers.files], { authentik_host: site.coreUrl })
  const rowsOutpost = await addOutpost(api, 'rows', [providers.rows], {
    authentik_host: site.coreUrl,
    session_backend: 'postgres',
  })
  // One outpost talks to the first server and keeps sessions in files, the other to the second and keeps them in PostgreSQL.
  const outpostEnv = {
    files: {
      AUTHENTIK_HOST: one.url,
      AUTHENTIK_TOKEN: filesOutpost.token,
      POSTERN_SESSION_DIR: sessionFolder,
    },
    rows: {
      ...Object.fromEntries(Object.entries(site.env).filter(([name]) => name.includes('POSTGRESQL'))),
      AUTHENTIK_HOST: two.url,
      AUTHENTIK_TOKEN: rowsOutpost.token,
    },
  }
  const startOutpost = (name: keyof typeof outpostEnv) =>
    startService(t, 'proxy', outpostEnv[name], { port: ports[name] })
  const outposts = { files: await startOutpost('files'), rows: await startOutpost('rows') }
  let servers = [one, two]
  const person = createClient()
  const statusOf = async (url: string) => (await person.ask(url)).status
  const servesInner = async (url: string) =>
    (
      await createClient().ask(`${url}/`, { headers: { Host: new URL(urls.inner).host } })
    ).headers.location?.startsWith(urls.inner) === true

  await t.test('each outpost says once which session backend it has', () => {
    for (const [outpost, backend] of [
      [outposts.files, 'filesystem'],
      [outposts.rows, 'postgres'],
    ] as const) {
      const lines = outpost.program.output().match(/^.*configured session backend.*$/gm) ?? []
      assert.equal(lines.length, 1)
      assert.match(lines[0] ?? '', new RegExp(`"backend":"${backend}"`))
    }
  })

  await t.test(
    'what the official client creates is served at once, wherever the outpost is connected',
    async () => {
      for (const [name, { pk }] of [
        ['files', filesOutpost],
        ['rows', rowsOutpost],
      ] as const) {
        const late = `http://late-${name}.localhost:${ports[name]}`
        const provider = await add(`late-${name}`, late)
        assert.equal(await statusOf(`${late}/`), 400, 'served before it was given to the outpost')
        await api.outposts.outpostsInstancesPartialUpdate({
          uuid: pk,
          patchedOutpostRequest: { providers: [providers[name], provider] },
        })
        await until(`${late} is served`, async () => (await statusOf(`${late}/`)) === 302, pushMs)
      }
      await giveToEmbedded(api, [await add('inner', urls.inner)])
      for (const { url } of [one, two])
        await until('both servers serve inner', () => servesInner(url), pushMs)
    },
  )

  await t.test('one login opens all of them, with the identity the application sees', async () => {
    const page = await person.signIn(`${urls.files}/page?a=1`, 'akadmin', site.password)
    assert.equal(page.url, `${urls.files}/page?a=1`)
    for (const url of Object.values(urls)) {
      const seen = JSON.parse((await person.visit(`${url}/page?a=1`)).body) as Seen
      assert.equal(seen.url, '/page?a=1')
      assert.equal(seen.headers['x-authentik-username'], 'akadmin')
      assert.equal(seen.headers['x-authentik-email'], 'root@example.com')
    }
  })

  await t.test('health and metrics are where probes look for them', async () => {
    for (const { metricsUrl } of [one, two, worker, outposts.files, outposts.rows]) {
      for (const path of ['/-/health/live/', '/-/health/ready/', '/metrics'])
        assert.equal(await statusOf(`${metricsUrl}${path}`), 200, `${metricsUrl}${path}`)
      assert.equal(await statusOf(`${metricsUrl}/outpost.goauthentik.io/ping`), 204)
    }
    for (const { url } of [one, two])
      for (const path of ['/-/health/live/', '/-/health/ready/'])
        assert.equal(await statusOf(`${url}${path}`), 200, `${url}${path}`)
    assert.equal(await statusOf(`${outposts.files.url}/outpost.goauthentik.io/ping`), 204)
    const other = await createClient().ask(`${urls.files}/-/health/live/`)
    assert.equal(other.status, 302, "an outpost's own health hides a path of the application")
  })

  await t.test(
    '`healthcheck` and `dump_config` answer for the program they are given the settings of',
    async t => {
      const check = startProgram(t, ['healthcheck'], one.env)
      assert.equal(await check.ended, 0, check.output())
      const nobody = startProgram(t, ['healthcheck'], {
        AUTHENTIK_LISTEN__METRICS: `127.0.0.1:${await freePort()}`,
      })
      assert.equal(await nobody.ended, 1)
      const dump = startProgram(t, ['dump_config'], one.env)
      assert.equal(await dump.ended, 0)
      assert.match(dump.output(), new RegExp(`^POSTERN_BASE_URL +${site.coreUrl} +\\[environment\\]$`, 'm'))
      for (const name of [
        'AUTHENTIK_SECRET_KEY',
        'AUTHENTIK_BOOTSTRAP_TOKEN',
        'AUTHENTIK_POSTGRESQL__PASSWORD',
      ])
        assert.equal(dump.output().includes(one.env[name] ?? ''), false, name)
    },
  )

  await t.test('any of them may be killed and started again: nobody is signed out', async () => {
    const everywhere = async (after: string) => {
      for (const url of Object.values(urls))
        assert.equal(await statusOf(`${url}/`), 200, `${url} after ${after}`)
      assert.equal(await statusOf(`${site.coreUrl}/api/v3/core/users/me/`), 200, `Core after ${after}`)
    }
    for (const name of ['files', 'rows'] as const) {
      await outposts[name].program.stop('SIGKILL')
      outposts[name] = await startOutpost(name)
      await everywhere(`the outpost ${name}`)
    }
    const again = async (name: 'server' | 'worker', { program, env, url }: Service) => {
      await program.stop('SIGKILL')
      for (const outpost of [urls.files, urls.rows]) assert.equal(await statusOf(`${outpost}/`), 200)
      const service = await startService(t, name, env, { port: Number(new URL(url).port) })
      await everywhere(`a ${name}`)
      return service
    }
    await again('worker', worker)
    servers = [await again('server', one), await again('server', two)]
  })

  await t.test('a session ended at one server is closed by the outpost of the other', async () => {
    // The store in files is told by push alone, so its outpost on the first server must hear what happened at the second.
    for (const [server, name] of [
      [servers[0], 'files'],
      [servers[1], 'rows'],
    ] as const)
      await server?.program.matches(new RegExp(`"outpost":"${name}"[^\\n]*"event":"outpost connected"`))
    const list = await person.ask(`${site.coreUrl}/api/v3/core/authenticated_sessions/`)
    const { results } = JSON.parse(list.body) as { results: { uuid: string; current: boolean }[] }
    const current = results.find(session => session.current)?.uuid ?? ''
    await officialClient(two.url, site.token).core.coreAuthenticatedSessionsDestroy({ uuid: current })
    for (const url of Object.values(urls))
      await until(`${url} is closed`, async () => (await statusOf(`${url}/`)) === 302, pushMs)
  })

  await t.test('SIGTERM lets a slow request end, takes no new one, and gives exit code 0', async () => {
    await person.signIn(`${urls.files}/`, 'akadmin', site.password)
    await person.visit(`${urls.rows}/`)
    const stopping = [
      { url: urls.files, program: outposts.files.program },
      { url: urls.rows, program: outposts.rows.program },
    ]
    for (const { url, program } of stopping) {
      assert.equal(await statusOf(`${url}/`), 200)
      const slow = person.ask(`${url}/slow`)
      await until('the request arrived', () => upstream.waiting() === 1)
      const ended = program.stop('SIGTERM')
      await until('the port is closed', async () => !(await answers(Number(new URL(url).port))))
      upstream.release()
      assert.equal((await slow).body, 'begin end')
      assert.equal(await ended, 0, program.output())
    }
  })
})
