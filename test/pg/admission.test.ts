import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { admit } from '../../src/pg/admission.ts'
import { reservedForLogin } from '../../src/pg/budget.ts'
import { sql } from '../../src/pg/db.ts'
import { startEmbeddedPostgres } from '../../src/pg/embedded.ts'
import { inLane } from '../../src/pg/lane.ts'
import { migrate } from '../../src/pg/migrate.ts'
import { loadMigrations } from '../../src/pg/migrations.ts'
import { createPool, type WatchedPool } from '../../src/pg/pool.ts'
import { testDatabase, testProgram } from '../postgres.ts'
import { eventually } from './eventually.ts'
import { startProcess } from './process.ts'

test('the share of a process follows how many others are alive, with one statement at start and none later', async t => {
  const { target, directTarget, db, countStatements } = await testDatabase(t)
  const options = { target: directTarget(), schema: 'public', role: 'server' as const, log: silentLog }
  const statements = await countStatements(async () => {
    assert.deepEqual((await admit(options)).budget().processes, 1)
  })
  assert.equal(statements.length, 1)

  // 17 others on 200 connections: (197 × 0.8) / 18 - 1 = 7
  const a = await startProcess(target, 'a')
  t.after(() => a.close())
  const admission = await admit(options)
  const pool = createPool({ target, max: admission.budget().pool, applicationName: 'shared', log: silentLog })
  t.after(() => pool.close())
  admission.follow(a.beat, pool)
  assert.equal(pool.max(), 10)
  await db.count(sql`insert into nodes (id, name, kind, version)
    select gen_random_uuid(), 'other ' || i, 'server', '0' from generate_series(1, 17) i`)
  await eventually(() => pool.max() === 7)
  assert.match(admission.budget().text, /shared by 18 processes/)
  await db.count(sql`delete from nodes where name like 'other %'`)
  await eventually(() => pool.max() === 10)
})

test('with max_connections 20 a server, a worker and an outpost use every slot at once, and none is refused', async t => {
  const dataDir = await mkdtemp(join(tmpdir(), 'postern-twenty-'))
  await chmod(dataDir, 0o755)
  const server = await startEmbeddedPostgres({
    dataDir,
    log: silentLog,
    maxConnections: 20,
    endWithUs: true,
    settings: { fsync: 'off' },
    ...testProgram(),
  })
  t.after(async () => {
    await server.destroy()
    await rm(dataDir, { recursive: true, force: true })
  })
  const target = () => server.target
  await migrate({
    target: target(),
    schema: 'public',
    migrations: await loadMigrations(join(import.meta.dirname, '../../migrations')),
    appVersion: 'test',
    log: silentLog,
    mode: 'apply',
  })
  const pools: WatchedPool[] = []
  const processes = []
  for (const role of ['server', 'worker'] as const) {
    const process = await startProcess(target, role)
    processes.push(process)
    await process.beat.now()
    const admission = await admit({ target: target(), schema: 'public', role, log: silentLog })
    const pool = createPool({
      target,
      max: admission.budget().pool,
      applicationName: role,
      log: silentLog,
      reservedForLogin,
    })
    admission.follow(process.beat, pool)
    await process.beat.now()
    pools.push(pool)
  }
  pools.push(createPool({ target, max: 5, applicationName: 'outpost', log: silentLog }))
  assert.deepEqual(
    pools.map(pool => pool.max()),
    [6, 4, 5],
  )
  const everything = pools.flatMap(pool =>
    inLane('login', () => Array.from({ length: 40 }, () => pool.query('select pg_sleep(0.02)'))),
  )
  await Promise.all(everything)
  assert.deepEqual(
    pools.map(({ figures }) => figures.openFailures),
    [0, 0, 0],
  )
  assert.deepEqual(
    pools.map(pool => pool.state().open),
    [6, 4, 5],
  )
  for (const pool of pools) await pool.close()
  for (const process of processes) await process.close()
})
