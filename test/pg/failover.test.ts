import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { createDb, sql } from '../../src/pg/db.ts'
import { examine } from '../../src/pg/doctor/examine.ts'
import { isUnavailable, PgError } from '../../src/pg/errors.ts'
import { migrate } from '../../src/pg/migrate.ts'
import { loadMigrations } from '../../src/pg/migrations.ts'
import { createPool } from '../../src/pg/pool.ts'
import { createReplicas } from '../../src/pg/replicas.ts'
import type { PgTarget } from '../../src/pg/target.ts'
import { eventually } from './eventually.ts'
import { startProcess } from './process.ts'
import { startTwoServers, type TwoServers } from './two-servers.ts'

async function migrated(t: TestContext): Promise<TwoServers> {
  const two = await startTwoServers()
  t.after(() => two.stop())
  await migrate({
    target: two.primary.target,
    schema: 'public',
    migrations: await loadMigrations(join(import.meta.dirname, '../../migrations')),
    appVersion: 'test',
    log: silentLog,
    mode: 'apply',
  })
  return two
}

test('when a standby is promoted, processes go on there within ten seconds, messages and leases too, and nothing acknowledged is lost', async t => {
  const two = await migrated(t)
  const [a, b] = await Promise.all([startProcess(two.target, 'a'), startProcess(two.target, 'b')])
  t.after(async () => {
    await a.close()
    await b.close()
  })
  await a.db.rows(sql`create table facts (id int primary key)`)
  const lease = await a.leases.acquire('work', { ttlMs: 60_000 })
  assert.ok(lease !== null)
  const heard: unknown[] = []
  b.bus.subscribe('n', body => heard.push(body.n))

  const written: number[] = []
  const failed = new Set<string>()
  let stop = false
  let lastAt = 0
  const writer = async (from: number) => {
    for (let id = from; !stop; id += 2) {
      await a.db.count(sql`insert into facts values (${id})`).then(
        () => {
          written.push(id)
          lastAt = performance.now()
        },
        error => {
          assert.ok(isUnavailable(error), `${error}`)
          failed.add((error as PgError).code)
          return new Promise(resolve => setTimeout(resolve, 20))
        },
      )
    }
  }
  const writers = [writer(1), writer(2)]
  await eventually(() => written.length > 50)
  await two.primary.kill('SIGINT')
  await eventually(() => failed.size > 0)
  const downAt = written.length
  const [{ promoted } = { promoted: false }] = await two.standby.ask<{ promoted: boolean }>(
    'select pg_promote(true, 20) as promoted',
  )
  assert.equal(promoted, true)
  const promotedAt = performance.now()
  await eventually(() => written.length > downAt + 20, 20_000)
  assert.ok(performance.now() - promotedAt < 10_000, `${performance.now() - promotedAt} ms`)
  await eventually(() => a.bus.healthy() && b.bus.healthy())
  a.bus.publish('n', { n: 7 })
  await eventually(() => heard.length === 1)
  assert.ok(performance.now() - promotedAt < 10_000, `${performance.now() - promotedAt} ms`)
  stop = true
  await Promise.all(writers)
  assert.ok(lastAt > promotedAt)
  assert.deepEqual([...failed], ['database_unavailable'])
  const rows = await a.db.rows(sql<{ id: number }>`select id from facts`)
  const found = new Set(rows.map(row => row.id))
  assert.deepEqual(
    written.filter(id => !found.has(id)),
    [],
  )
  assert.equal(await b.leases.acquire('work', { ttlMs: 60_000 }), null)
  assert.equal(lease.signal.aborted, false)
})

test('a standby serves reads while it shows all that was written, and the primary steps in when it does not', async t => {
  const two = await migrated(t)
  const primary = createPool({
    target: () => two.primary.target,
    max: 4,
    applicationName: 'primary',
    log: silentLog,
  })
  const replicas = createReplicas({
    primary,
    targets: [() => two.standby.target],
    applicationName: 'standby',
    log: silentLog,
    pollMs: 100,
  })
  const db = createDb({ pool: primary, schema: 'public', log: silentLog, replicas })
  t.after(async () => {
    await replicas.close()
    await db.close()
  })
  const where = async (after?: string) => {
    const row = await db
      .replica(after)
      .first(sql<{ standby: boolean }>`select pg_is_in_recovery() as standby`)
    return row?.standby === true ? 'standby' : 'primary'
  }
  await db.rows(sql`create table facts (id int primary key)`)
  assert.equal(await where(), 'primary')
  await eventually(async () => (await where()) === 'standby')

  // What this process wrote is always seen.
  for (let id = 1; id <= 200; id++) {
    await db.count(sql`insert into facts values (${id})`)
    for (let look = 0; look < 3; look++) {
      const rows = await db.replica().rows(sql`select id from facts where id = ${id}`)
      assert.equal(rows.length, 1)
    }
    if (id % 20 === 0) await eventually(async () => (await where()) === 'standby')
  }

  // What another process wrote is seen from its position on.
  await two.standby.ask('select pg_wal_replay_pause()')
  await two.primary.ask('insert into facts values (1000)')
  const position = await db.position()
  assert.equal(await where(position), 'primary')
  const seen = await db.replica(position).rows(sql`select 1 from facts where id = 1000`)
  assert.equal(seen.length, 1)
  // A standby that falls behind is left out, and comes back.
  const busy = setInterval(() => void two.primary.ask('select txid_current()').catch(() => {}), 100)
  t.after(() => clearInterval(busy))
  await eventually(async () => (await where()) === 'primary' && replicas.state()[0]?.eligible === false)
  await two.standby.ask('select pg_wal_replay_resume()')
  await eventually(async () => (await where()) === 'standby' && replicas.state()[0]?.eligible === true)
  clearInterval(busy)

  // A standby that goes away costs nobody an answer.
  await two.standby.kill('SIGKILL')
  for (let i = 0; i < 20; i++) assert.equal(await where(), 'primary')
})

test('a pool that finds itself on a read-only server drops its connections and looks for the one that writes', async t => {
  const two = await migrated(t)
  const anyHost = {
    ...two.target(),
    hosts: two.target().hosts.toReversed(),
    targetSessionAttrs: 'any' as const,
  }
  const pool = createPool({ target: () => anyHost, max: 2, applicationName: 'any', log: silentLog })
  t.after(() => pool.close())
  await assert.rejects(pool.query('create table facts (id int)'), error => {
    assert.ok(error instanceof PgError && error.code === 'database_unavailable' && isUnavailable(error))
    return true
  })
  await pool.query('create table facts (id int)')
})

test('the doctor knows a standby that keeps up from one that lags, and from what is none', async t => {
  const two = await migrated(t)
  const look = async (replica: PgTarget) => {
    const found = await examine({
      main: two.primary.target,
      direct: two.primary.target,
      replicas: [replica],
      schema: 'public',
      migrations: await loadMigrations(join(import.meta.dirname, '../../migrations')),
      appVersion: 'test',
      idleSettings: [],
    })
    return found.filter(one => one.check === 'replicas').map(one => `${one.level} ${one.text}`)
  }
  assert.match((await look(two.standby.target)).join(), /^ok .* is \d+ ms behind$/)
  assert.match((await look(two.primary.target)).join(), /^warning .* is no standby/)
  await two.standby.ask('select pg_wal_replay_pause()')
  await two.primary.ask('create table later (id int)')
  assert.match((await look(two.standby.target)).join(), /^warning .* more than a second behind/)
  await two.standby.ask('select pg_wal_replay_resume()')
  await two.standby.kill('SIGKILL')
  assert.match((await look(two.standby.target)).join(), /^error /)
})
