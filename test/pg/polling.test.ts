// An installation that can reach nothing but a transaction pooler: AUTHENTIK_POSTGRESQL__POOLER=transaction-only.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { silentLog } from '../../src/log.ts'
import type { BusBody } from '../../src/pg/bus.ts'
import { sql } from '../../src/pg/db.ts'
import { examine } from '../../src/pg/doctor/examine.ts'
import { migrate } from '../../src/pg/migrate.ts'
import { loadMigrations } from '../../src/pg/migrations.ts'
import { checkPooler } from '../../src/pg/pooler.ts'
import { describeSite, startService } from '../e2e/production.ts'
import { testDatabase } from '../postgres.ts'
import { startProgram } from '../programs.ts'
import { eventually } from './eventually.ts'
import { startPgBouncer, withoutPgBouncer } from './pgbouncer.ts'
import { startProcess } from './process.ts'

const skip = withoutPgBouncer
const migrations = () => loadMigrations(join(import.meta.dirname, '../../migrations'))

async function behindPooler(t: TestContext, options: { migrated?: boolean } = {}) {
  const database = await testDatabase(t, options)
  const bouncer = await startPgBouncer(database.directTarget(), { mode: 'transaction', poolSize: 8 })
  t.after(() => bouncer.stop())
  return { database, bouncer }
}

async function two(t: TestContext, resyncMs?: number) {
  const { database, bouncer } = await behindPooler(t)
  const options = { polls: true, ...(resyncMs === undefined ? {} : { resyncMs }) }
  const [a, b] = await Promise.all([
    startProcess(bouncer.target, 'a', options),
    startProcess(bouncer.target, 'b', options),
  ])
  t.after(() => Promise.all([a.close(), b.close()]))
  await eventually(() => a.bus.healthy() && b.bus.healthy())
  return { database, bouncer, a, b }
}

test('messages reach every other process once, small and large, and nothing listens anywhere', {
  skip,
}, async t => {
  const { database, a, b } = await two(t)
  const seen: { a: BusBody[]; b: BusBody[] } = { a: [], b: [] }
  a.bus.subscribe('n', body => seen.a.push(body))
  b.bus.subscribe('n', body => seen.b.push(body))
  for (let n = 0; n < 100; n++) a.bus.publish('n', { n })
  b.bus.publish('n', { n: 1000, text: 'x'.repeat(20_000) })
  await eventually(() => seen.b.length === 101 && seen.a.length === 101)
  // What is asked for once more within the next seconds is not delivered again.
  let later = 0
  a.bus.subscribe('later', () => later++)
  b.bus.publish('later')
  await eventually(() => later === 1)
  assert.deepEqual([seen.a.length, seen.b.length], [101, 101])
  assert.deepEqual(
    new Set(seen.b.map(body => body.n)),
    new Set([...Array.from({ length: 100 }, (_, n) => n), 1000]),
  )
  assert.equal(a.bus.way, 'poll')
  const left = await database.db.rows(
    sql<{
      what: string
    }>`select query as what from pg_stat_activity where datname = current_database() and query ilike 'listen %'
      union all select locktype from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`,
  )
  assert.deepEqual(left, [])
})

test('a message whose row becomes visible late, after one with a higher number, is delivered too', {
  skip,
}, async t => {
  const { database, a } = await two(t)
  const seen: unknown[] = []
  a.bus.subscribe('n', body => seen.push(body.n))
  const frame = (n: number) => JSON.stringify({ v: 1, s: 'somebody', m: [['n', { n }]] })
  const committed = Promise.withResolvers<void>()
  const late = database.db.transaction(async tx => {
    await tx.count(sql`insert into ${tx.t('bus_blobs')} (body) values (${frame(1)})`)
    await committed.promise
  })
  await database.db.count(sql`insert into ${database.db.t('bus_blobs')} (body) values (${frame(2)})`)
  await eventually(() => seen.length === 1)
  committed.resolve()
  await late
  await eventually(() => seen.length === 2)
  assert.deepEqual(seen, [2, 1])
})

test('after the pooler was away, and after the rows of messages were lost, processes compare with the tables and hear again', {
  skip,
}, async t => {
  const { database, bouncer, a, b } = await two(t)
  let resyncs = 0
  b.bus.onResync(async () => {
    resyncs++
  })
  await eventually(() => resyncs === 1)
  await bouncer.kill()
  await eventually(() => !b.bus.healthy())
  await bouncer.start()
  await eventually(() => a.bus.healthy() && b.bus.healthy() && resyncs === 2)
  const seen: unknown[] = []
  b.bus.subscribe('n', body => seen.push(body.n))
  for (let n = 0; n < 5; n++) {
    a.bus.publish('n', { n })
    await eventually(() => seen.length === n + 1)
  }
  // As after a crash of the server: the table is empty, and its numbers begin anew.
  await database.db.count(sql`truncate ${database.db.t('bus_blobs')} restart identity`)
  for (let n = 5; n < 10; n++) {
    a.bus.publish('n', { n })
    await eventually(() => seen.includes(n) || resyncs >= 3)
  }
  await eventually(() => b.bus.healthy())
  a.bus.publish('n', { n: 10 })
  await eventually(() => seen.includes(10))
})

test('a lease is held by one process at a time, and the next takes it when it is released', {
  skip,
}, async t => {
  const { a, b } = await two(t)
  const first = await a.leases.acquire('work', { ttlMs: 30_000 })
  assert.ok(first !== null)
  assert.equal(await b.leases.acquire('work', { ttlMs: 30_000 }), null)
  const waiting = b.leases.acquire('work', { ttlMs: 30_000, wait: AbortSignal.timeout(30_000) })
  await first.release()
  const second = await waiting
  assert.ok(second !== null && second.fence > first.fence)
})

test('several processes that start on an empty database migrate it once, through the pooler, and leave no lock behind', {
  skip,
}, async t => {
  const { database, bouncer } = await behindPooler(t, { migrated: false })
  const files = await migrations()
  const one = () =>
    migrate({
      target: bouncer.target(),
      schema: 'public',
      migrations: files,
      appVersion: 'test',
      log: silentLog,
      mode: 'apply',
      withoutSession: true,
    })
  const applied = await Promise.all([one(), one(), one()])
  assert.deepEqual(
    applied.flatMap(result => result.applied).sort((x, y) => x - y),
    files.map(file => file.id),
  )
  const locks = await database.db.rows(
    sql`select 1 from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`,
  )
  assert.deepEqual(locks, [])
})

test('the doctor finds nothing wrong with it, and says so when it is not needed', { skip }, async t => {
  const { database, bouncer } = await behindPooler(t)
  const look = async (main = bouncer.target()) =>
    await examine({
      main,
      direct: main,
      polls: true,
      replicas: [],
      schema: 'public',
      migrations: await migrations(),
      appVersion: 'test',
      idleSettings: [],
    })
  const found = await look()
  // The servers of tests run without fsync, which the doctor does not like.
  assert.deepEqual(
    found.filter(one => one.level === 'error').map(one => one.check),
    ['durability'],
  )
  assert.match(
    found.find(one => one.check === 'pooler')?.text ?? '',
    /transaction mode .* messages are asked for/,
  )
  const needless = (await look(database.directTarget())).find(one => one.check === 'pooler')
  assert.equal(needless?.level, 'warning')
})

test('a direct connection beside `transaction-only` is a contradiction that is named', { skip }, async t => {
  const { database, bouncer } = await behindPooler(t, { migrated: false })
  const main = bouncer.target()
  await assert.rejects(
    checkPooler({ main, direct: database.directTarget(), setting: 'transaction-only' }),
    /POOLER=transaction-only .* AUTHENTIK_POSTGRESQL__DIRECT__HOST names .*remove the DIRECT settings/,
  )
  const verdicts = await checkPooler({ main, direct: main, setting: 'transaction-only' })
  assert.equal(verdicts.main?.kind, 'transaction')
})

test('server and worker start behind a pooler alone when told so; health says `bus=poll`, and what one does the other hears', {
  skip,
  timeout: 180_000,
}, async t => {
  const { bouncer } = await behindPooler(t, { migrated: false })
  const site = await describeSite(bouncer.target())
  const env = { ...site.env, AUTHENTIK_POSTGRESQL__POOLER: 'transaction-only' }
  const server = await startService(t, 'server', env, { port: Number(new URL(site.coreUrl).port) })
  const worker = await startService(t, 'worker', env)
  for (const { metricsUrl } of [server, worker]) {
    const answer = await fetch(`${metricsUrl}/-/health/ready/`)
    const { ok, checks } = (await answer.json()) as { ok: boolean; checks: Record<string, string> }
    assert.equal(answer.status, 200, JSON.stringify(checks))
    assert.equal(ok, true)
    assert.equal(checks.bus, 'poll')
  }
  const doctor = startProgram(t, ['doctor'], env)
  await doctor.ended
  assert.match(doctor.output(), /1 errors, 0 warnings/, 'but for the fsync of the servers of tests')
  assert.match(doctor.output(), /ok +pooler +main: a pooler in transaction mode .* four times a second/)
  const answer = await fetch(`${site.coreUrl}/api/v3/core/users/me/`, {
    headers: { authorization: `Bearer ${site.token}` },
  })
  assert.equal(answer.status, 200)
  assert.equal(await worker.program.stop(), 0)
  assert.equal(await server.program.stop(), 0)
})
