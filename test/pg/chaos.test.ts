import assert from 'node:assert/strict'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { createCache } from '../../src/pg/cache.ts'
import { openConnection } from '../../src/pg/client.ts'
import { sql } from '../../src/pg/db.ts'
import { startEmbeddedPostgres } from '../../src/pg/embedded.ts'
import { isUnavailable } from '../../src/pg/errors.ts'
import { migrate } from '../../src/pg/migrate.ts'
import { loadMigrations } from '../../src/pg/migrations.ts'
import { testDatabase, testProgram } from '../postgres.ts'
import { eventually } from './eventually.ts'
import { startPgBouncer, withoutPgBouncer } from './pgbouncer.ts'
import { startProcess } from './process.ts'

/** A server of its own, which may be killed. */
async function ownServer(t: TestContext) {
  const dataDir = await mkdtemp(join(tmpdir(), 'postern-chaos-'))
  await chmod(dataDir, 0o755)
  const begin = () => startEmbeddedPostgres({ dataDir, log: silentLog, endWithUs: true, ...testProgram() })
  let server = await begin()
  t.after(async () => {
    await server.destroy()
    await rm(dataDir, { recursive: true, force: true })
  })
  await migrate({
    target: server.target,
    schema: 'public',
    migrations: await loadMigrations(join(import.meta.dirname, '../../migrations')),
    appVersion: 'test',
    log: silentLog,
    mode: 'apply',
  })
  return {
    target: () => server.target,
    stop: () => server.stop(),
    async kill() {
      const { client } = await openConnection(server.adminTarget, { applicationName: 'chaos' })
      const { rows } = await client.query<{ dir: string }>("select current_setting('data_directory') as dir")
      await client.end()
      const pid = Number.parseInt(await readFile(join(rows[0]?.dir ?? '', 'postmaster.pid'), 'utf8'), 10)
      process.kill(pid, 'SIGKILL')
      await eventually(() => !alive(pid))
    },
    async start() {
      server = await begin()
    },
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Writes numbers until told to end; knows which were acknowledged. */
function writer(
  t: TestContext,
  process: Awaited<ReturnType<typeof startProcess>>,
  from: number,
  step: number,
) {
  const acknowledged: number[] = []
  const unexpected: unknown[] = []
  let stop = false
  const run = (async () => {
    for (let id = from; !stop; id += step) {
      try {
        await process.db.transaction(async tx => {
          await tx.count(sql`insert into facts values (${id}, 'first')`)
          await tx.count(sql`insert into facts values (${id}, 'second')`)
        })
        acknowledged.push(id)
      } catch (error) {
        if (!isUnavailable(error)) unexpected.push(error)
        await new Promise(resolve => setTimeout(resolve, 10))
      }
    }
  })()
  const end = async () => {
    stop = true
    await run
  }
  // A test that fails must not write for ever.
  t.after(async () => {
    await end()
    await process.close()
  })
  return { acknowledged, unexpected, end }
}

async function factsAreWhole(process: Awaited<ReturnType<typeof startProcess>>, acknowledged: number[]) {
  const rows = await process.db.rows(
    sql<{ id: number; n: string }>`select id, count(*) as n from facts group by id`,
  )
  assert.deepEqual(
    rows.filter(row => row.n !== '2'),
    [],
  )
  const found = new Set(rows.map(row => row.id))
  assert.deepEqual(
    acknowledged.filter(id => !found.has(id)),
    [],
  )
}

test('every backend ended again and again: processes go on, nothing acknowledged is lost, nothing is half written', async t => {
  const { target, adminTarget, db } = await testDatabase(t)
  const [a, b] = await Promise.all([startProcess(target, 'a'), startProcess(target, 'b')])
  await db.rows(sql`create table facts (id int, part text)`)
  const heard: unknown[] = []
  b.bus.subscribe('n', body => heard.push(body.n))
  const lease = await a.leases.acquire('work', { ttlMs: 60_000 })
  const writers = [writer(t, a, 1, 2), writer(t, b, 2, 2)]
  const { client } = await openConnection(adminTarget(), { applicationName: 'chaos' })
  for (let round = 0; round < 8; round++) {
    const before = writers.reduce((sum, one) => sum + one.acknowledged.length, 0)
    await client.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
    )
    const began = performance.now()
    await eventually(() => writers.reduce((sum, one) => sum + one.acknowledged.length, 0) > before + 2)
    assert.ok(performance.now() - began < 5000)
  }
  await client.end()
  await eventually(() => a.bus.healthy() && b.bus.healthy())
  a.bus.publish('n', { n: 1 })
  await eventually(() => heard.length > 0)
  for (const one of writers) await one.end()
  assert.deepEqual(
    writers.flatMap(one => one.unexpected),
    [],
  )
  await factsAreWhole(
    a,
    writers.flatMap(one => one.acknowledged),
  )
  assert.equal(lease?.signal.aborted, false)
  await a.close()
  await b.close()
})

test('PostgreSQL stopped and started: processes go on within five seconds', async t => {
  const server = await ownServer(t)
  const a = await startProcess(server.target, 'a')
  const b = await startProcess(server.target, 'b')
  await a.db.rows(sql`create table facts (id int, part text)`)
  const one = writer(t, a, 1, 1)
  await eventually(() => one.acknowledged.length > 20)
  await server.stop()
  await assert.rejects(b.db.rows(sql`select 1`), isUnavailable)
  await server.start()
  const began = performance.now()
  const before = one.acknowledged.length
  await eventually(() => one.acknowledged.length > before + 5 && a.bus.healthy() && b.bus.healthy())
  assert.ok(performance.now() - began < 5000, `${performance.now() - began}`)
  await one.end()
  assert.deepEqual(one.unexpected, [])
  await factsAreWhole(a, one.acknowledged)
  await a.close()
  await b.close()
})

test('the postmaster killed: what is unlogged is gone, what counts is there, and presence, cache and messages come back', async t => {
  const server = await ownServer(t)
  const a = await startProcess(server.target, 'a')
  const b = await startProcess(server.target, 'b')
  const cache = createCache({ db: a.db, bus: a.bus, log: silentLog })
  const other = createCache({ db: b.db, bus: b.bus, log: silentLog })
  await a.db.rows(sql`create table facts (id int, part text)`)
  const one = writer(t, a, 1, 1)
  await eventually(() => one.acknowledged.length > 20)
  const lease = await a.leases.acquire('work', { ttlMs: 60_000 })
  let loads = 0
  const use = { ttlMs: 600_000, memory: false, load: async () => ++loads }
  await cache.invalidate('n')
  assert.equal(await cache.get('n', 'k', use), 1)
  assert.equal(await other.get('n', 'k', use), 1)
  await server.kill()
  await server.start()
  await eventually(async () => (await cache.get('n', 'k', use).catch(() => 0)) > 1)
  const made = loads
  assert.equal(await other.get('n', 'k', use), made) // made once, for both
  await eventually(async () => {
    const rows = await a.db.rows(sql<{ name: string }>`select name from nodes order by 1`).catch(() => [])
    return rows.map(row => row.name).join() === 'a,b'
  })
  const fence = await b.db.first(sql<{ fence: string }>`select fence from leases where key = 'work'`)
  assert.equal(Number(fence?.fence), lease?.fence)
  const generation = await b.db.first(
    sql<{ generation: string }>`select generation from cache_generations where namespace = 'n'`,
  )
  assert.equal(generation?.generation, '1')
  const heard: unknown[] = []
  b.bus.subscribe('big', body => heard.push(body))
  await eventually(() => a.bus.healthy() && b.bus.healthy())
  for (let i = 0; i < 100; i++) a.bus.publish('big', { i, text: 'x'.repeat(200) })
  await eventually(() => heard.length === 100)
  await one.end()
  await factsAreWhole(a, one.acknowledged)
  cache.close()
  other.close()
  await a.close()
  await b.close()
})

test('a pooler killed and started again: statements go on within five seconds', {
  skip: withoutPgBouncer,
}, async t => {
  const { directTarget: target } = await testDatabase(t)
  const bouncer = await startPgBouncer(target(), { mode: 'transaction' })
  t.after(() => bouncer.stop())
  const a = await startProcess(bouncer.target, 'a', { direct: target })
  await a.db.rows(sql`create table facts (id int, part text)`)
  const one = writer(t, a, 1, 1)
  await eventually(() => one.acknowledged.length > 20)
  await bouncer.kill()
  await assert.rejects(a.db.rows(sql`select 1`), isUnavailable)
  assert.ok(a.bus.healthy()) // the direct connection does not pass through it
  await bouncer.start()
  const began = performance.now()
  const before = one.acknowledged.length
  await eventually(() => one.acknowledged.length > before + 5)
  assert.ok(performance.now() - began < 5000)
  await one.end()
  assert.deepEqual(one.unexpected, [])
  await factsAreWhole(a, one.acknowledged)
  await a.close()
})

test('a transaction left open for long keeps dead rows, and neither beat nor bus nor cache slows down by much', async t => {
  const { target, db } = await testDatabase(t)
  const a = await startProcess(target, 'a', { intervalMs: 20 })
  const { client } = await openConnection(target(), { applicationName: 'holder' })
  await client.query('begin isolation level repeatable read; select count(*) from nodes')
  const held = await client.query<{ xmin: string }>(
    'select backend_xmin as xmin from pg_stat_activity where pid = pg_backend_pid()',
  )
  const cache = createCache({ db: a.db, bus: a.bus, log: silentLog })
  const times: number[] = []
  for (let i = 0; i < 800; i++) {
    const began = performance.now()
    await a.beat.now()
    if (i % 10 === 0)
      await cache.get('n', `${i % 50}`, { ttlMs: 60_000, softMs: 0, memory: false, load: async () => i })
    times.push(performance.now() - began)
  }
  const still = await client.query<{ xmin: string }>(
    'select backend_xmin as xmin from pg_stat_activity where pid = pg_backend_pid()',
  )
  assert.deepEqual(still.rows, held.rows)
  const median = (list: number[]) => list.toSorted((x, y) => x - y)[Math.floor(list.length / 2)] ?? 0
  const [early, late] = [median(times.slice(0, 200)), median(times.slice(-200))]
  assert.ok(late < 4 * early + 5, `${early} → ${late} ms`)
  await client.query('rollback')
  await client.end()
  await db.rows(sql`vacuum nodes`)
  const size = await db.first(sql<{ bytes: string }>`select pg_relation_size('nodes') as bytes`)
  assert.ok(Number(size?.bytes) < 2_000_000, `${size?.bytes}`)
  cache.close()
  await a.close()
})
