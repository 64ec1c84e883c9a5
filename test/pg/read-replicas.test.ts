// Programs with a read replica: two real servers, two processes of Core.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import type { PgTarget } from '../../src/pg/target.ts'
import { createClient } from '../e2e/http-client.ts'
import { temporaryFolder } from '../e2e/installation.ts'
import { databaseEnv, describeSite, type Environment, type Service, startService } from '../e2e/production.ts'
import { eventually } from './eventually.ts'
import { startTwoServers, type TwoServers } from './two-servers.ts'

const limit = { timeout: 240_000 }

function replicaEnv(target: PgTarget): Environment {
  const [at] = target.hosts
  const prefix = 'AUTHENTIK_POSTGRESQL__READ_REPLICAS__0__'
  return { [`${prefix}HOST`]: at?.host ?? '', [`${prefix}PORT`]: String(at?.port) }
}

async function twoCores(t: TestContext): Promise<{
  two: TwoServers
  cores: [Service, Service]
  token: string
  password: string
  coreUrl: string
}> {
  const two = await startTwoServers()
  t.after(() => two.stop())
  const site = await describeSite(two.primary.target)
  const env = { ...site.env, ...replicaEnv(two.standby.target) }
  const first = await startService(t, 'server', env, { port: Number(new URL(site.coreUrl).port) })
  const second = await startService(t, 'server', env)
  t.after(async () => {
    for (const { program } of [first, second]) await program.stop()
  })
  return {
    two,
    cores: [first, second],
    token: site.token,
    password: site.password,
    coreUrl: site.coreUrl,
  }
}

type Ask = (method: string, path: string, body?: object) => Promise<{ status: number; body: unknown }>

function byToken(core: Service, token: string): Ask {
  return async (method, path, body) => {
    const answer = await fetch(`${core.url}/api/v3${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: answer.status, body: await answer.json().catch(() => undefined) }
  }
}

/** Users of that name as a list shows them. */
async function listed(ask: Ask, username: string): Promise<number> {
  const { status, body } = await ask('GET', `/core/users/?username=${username}`)
  assert.equal(status, 200, JSON.stringify(body))
  return (body as { results: unknown[] }).results.length
}

/** Whether one of a few lists was read from the standby: on programs' connections there was more than the question how far it is. */
async function readsFromStandby(two: TwoServers, ask: Ask): Promise<boolean> {
  const [now] = await two.standby.ask<{ at: string }>('select clock_timestamp()::text as at')
  for (let i = 0; i < 5; i++) await listed(ask, 'akadmin')
  const [row] = await two.standby.ask<{ n: number }>(
    `select count(*)::int as n from pg_stat_activity where application_name like 'postern/%/replica'
       and query not like '%pg_last_wal_replay_lsn%' and query_start > '${now?.at}'`,
  )
  return (row?.n ?? 0) > 0
}

test(
  'lists are read from the standby, and what was written through one process is listed by the other at once',
  limit,
  async t => {
    const { two, cores, token } = await twoCores(t)
    const [one, other] = cores.map(core => byToken(core, token)) as [Ask, Ask]
    await eventually(() => readsFromStandby(two, other), 60_000)
    for (let i = 0; i < 25; i++) {
      const username = `written-${i}`
      const made = await one('POST', '/core/users/', { username, name: username, path: 'users' })
      assert.equal(made.status, 201, JSON.stringify(made.body))
      for (let look = 0; look < 2; look++) assert.equal(await listed(other, username), 1, username)
      if (i % 8 === 7) await eventually(() => readsFromStandby(two, other), 60_000)
    }
    // Events and tasks are readable there too, with what outposts have reported beside them.
    for (const path of ['/events/events/', '/tasks/tasks/', '/core/groups/'])
      assert.equal((await other('GET', path)).status, 200, path)
    assert.equal(cores[0].program.output().includes('was not noted down'), false)

    await t.test(
      'a standby that stands still is not asked by who has written since, in any process',
      async () => {
        await two.standby.ask('select pg_wal_replay_pause()')
        const made = await one('POST', '/core/users/', { username: 'while-paused', name: 'x', path: 'users' })
        assert.equal(made.status, 201)
        for (let look = 0; look < 20; look++) assert.equal(await listed(other, 'while-paused'), 1)
      },
    )

    await t.test('and soon by nobody; when it has caught up it is asked again', async () => {
      const busy = setInterval(() => void two.primary.ask('select txid_current()').catch(() => {}), 200)
      t.after(() => clearInterval(busy))
      await eventually(
        async () => /_replica_lag_seconds\{[^\n]*\} (?:[2-9]|\d\d)/.test(await metrics(cores[1])),
        60_000,
      )
      for (let look = 0; look < 10; look++) assert.equal(await readsFromStandby(two, other), false)
      await two.standby.ask('select pg_wal_replay_resume()')
      await eventually(() => readsFromStandby(two, other), 60_000)
      clearInterval(busy)
    })

    await t.test(
      'a token that ends is refused at once everywhere: nothing that decides is read there',
      async () => {
        await two.standby.ask('select pg_wal_replay_pause()')
        const made = await one('POST', '/core/tokens/', { identifier: 'short-lived', intent: 'api' })
        assert.equal(made.status, 201, JSON.stringify(made.body))
        const { key } = (await one('GET', '/core/tokens/short-lived/view_key/')).body as { key: string }
        const its = byToken(cores[1], key)
        assert.equal((await its('GET', '/core/users/me/')).status, 200)
        assert.equal((await one('DELETE', '/core/tokens/short-lived/')).status, 204)
        assert.equal((await its('GET', '/core/users/me/')).status, 403)
        assert.equal(
          ((await other('GET', '/core/tokens/?identifier=short-lived')).body as { results: unknown[] })
            .results.length,
          0,
        )
        await two.standby.ask('select pg_wal_replay_resume()')
      },
    )

    await t.test('with the standby gone every list is answered', async () => {
      await two.standby.kill('SIGKILL')
      for (let look = 0; look < 20; look++) assert.equal(await listed(other, 'akadmin'), 1)
    })
  },
)

test('what a browser has written through one process it finds in lists of the other', limit, async t => {
  const { two, cores, password, coreUrl, token } = await twoCores(t)
  const person = createClient()
  assert.equal((await person.signIn(`${coreUrl}/if/user/`, 'akadmin', password)).status, 200)
  const cookies = () => person.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
  const csrf = () => person.cookies.find(({ name }) => name === 'authentik_csrf')?.value ?? ''
  const host = new URL(coreUrl).host
  const ask =
    (core: Service): Ask =>
    async (method, path, body) => {
      const answer = await fetch(`${core.url}/api/v3${path}`, {
        method,
        headers: {
          cookie: cookies(),
          'x-forwarded-host': host,
          origin: coreUrl,
          'x-authentik-csrf': csrf(),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      return { status: answer.status, body: await answer.json().catch(() => undefined) }
    }
  const [one, other] = cores.map(ask) as [Ask, Ask]
  await eventually(() => readsFromStandby(two, byToken(cores[1], token)), 60_000)
  await eventually(() => readsFromStandby(two, other), 60_000)
  await two.standby.ask('select pg_wal_replay_pause()')
  const made = await one('POST', '/core/users/', { username: 'by-browser', name: 'x', path: 'users' })
  assert.equal(made.status, 201, JSON.stringify(made.body))
  for (let look = 0; look < 20; look++) assert.equal(await listed(other, 'by-browser'), 1)
  const [row] = await two.primary.ask<{ n: string }>(
    'select count(*) as n from sessions where read_after is not null',
  )
  assert.equal(row?.n, '1')
  await two.standby.ask('select pg_wal_replay_resume()')
})

test(
  'on SIGHUP a program takes replicas that were added to its file and leaves those that were taken out',
  limit,
  async t => {
    const two = await startTwoServers()
    t.after(() => two.stop())
    const folder = await temporaryFolder(t)
    const hostFile = `${folder}/replica-host`
    const [at] = two.standby.target.hosts
    await writeFile(hostFile, two.primary.target.hosts[0]?.host ?? '')
    const site = await describeSite(two.primary.target)
    // Which replicas there are is a matter of files; here the port of one is.
    const portFile = `${folder}/replica-port`
    await writeFile(portFile, '5999')
    const prefix = 'AUTHENTIK_POSTGRESQL__READ_REPLICAS__0__'
    const env = {
      ...site.env,
      ...databaseEnv(two.primary.target),
      [`${prefix}HOST`]: `file://${hostFile}`,
      [`${prefix}PORT`]: `file://${portFile}`,
    }
    const core = await startService(t, 'server', env)
    t.after(() => core.program.stop())
    const ask = byToken(core, site.token)
    await eventually(async () => {
      await listed(ask, 'akadmin')
      return /read replica not used/.test(core.program.output())
    }, 60_000)
    await writeFile(portFile, String(at?.port))
    process.kill(core.program.pid, 'SIGHUP')
    await core.program.matches(
      /"event":"settings reloaded"[^\n]*"added":1[^\n]*"removed":1|"added":1,"removed":1[^\n]*settings reloaded/,
    )
    await eventually(() => readsFromStandby(two, ask), 60_000)
    // A file that cannot be understood changes nothing.
    await writeFile(portFile, 'none')
    process.kill(core.program.pid, 'SIGHUP')
    await core.program.matches(/settings not reloaded, everything stays as it is/)
    await eventually(() => readsFromStandby(two, ask), 60_000)
  },
)

async function metrics(core: Service): Promise<string> {
  return await (await fetch(`${core.metricsUrl}/metrics`)).text()
}
