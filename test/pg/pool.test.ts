import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isUnavailable } from '../../src/pg/errors.ts'
import { eventually } from './eventually.ts'
import { failsWith, poolOf } from './pool-under-test.ts'

test('never more connections than allowed, first come first served', async t => {
  const { pool } = await poolOf(t, { max: 2 })
  const order: number[] = []
  const pids = new Set<number>()
  await Promise.all(
    [1, 2, 3, 4, 5, 6].map(async n => {
      const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid, pg_sleep(0.02)')
      pids.add(rows[0]?.pid ?? 0)
      order.push(n)
    }),
  )
  assert.equal(pids.size, 2)
  assert.deepEqual(
    [order.slice(0, 2).sort(), order.slice(2, 4).sort(), order.slice(4).sort()],
    [
      [1, 2],
      [3, 4],
      [5, 6],
    ],
  )
})

test('who waits too long, or finds the queue full, is told so and may come again', async t => {
  const { pool } = await poolOf(t, { max: 1, acquireTimeoutMs: 100, maxWaiting: 2 })
  const release = Promise.withResolvers<void>()
  const holding = pool.transaction(() => release.promise)
  await eventually(() => pool.state().open === 1)
  const waiting = [pool.query('select 1'), pool.query('select 1')]
  const results = Promise.allSettled(waiting)
  await assert.rejects(pool.query('select 1'), error => {
    assert.match(String(error), /2 callers already wait for one of 1/)
    return failsWith('pool_exhausted')(error)
  })
  for (const result of await results) {
    assert.equal(result.status, 'rejected')
    assert.ok(result.status === 'rejected' && failsWith('pool_exhausted')(result.reason))
    assert.ok(result.status === 'rejected' && isUnavailable(result.reason))
  }
  release.resolve()
  await holding
  assert.equal((await pool.query('select 1')).rowCount, 1)
})

test('a lone statement that misses its deadline is cancelled in the server, and its connection not used again', async t => {
  const { pool, admin } = await poolOf(t)
  const before = await pool.query<{ pid: number }>('select pg_backend_pid() as pid')
  const started = performance.now()
  await assert.rejects(
    pool.query('select pg_sleep(60)', [], { deadlineMs: 100 }),
    failsWith('statement_timeout'),
  )
  assert.ok(performance.now() - started < 20_000)
  await eventually(async () => {
    const { rows } = await admin.query(
      "select 1 from pg_stat_activity where datname = current_database() and query like 'select pg_sleep%' and state = 'active'",
    )
    return rows.length === 0
  })
  const later = await pool.query<{ pid: number }>('select pg_backend_pid() as pid')
  assert.notEqual(later.rows[0]?.pid, before.rows[0]?.pid)
})

test('in a transaction the server keeps the time: statement, lock and idleness', async t => {
  const { pool, admin } = await poolOf(t, {
    statementTimeoutMs: 200,
    lockTimeoutMs: 100,
    idleInTransactionTimeoutMs: 150,
  })
  await pool.query('create table things (id int)')
  const sqlstateOf = (work: Promise<unknown>) =>
    work.then(
      () => 'none',
      error => error.code ?? error.cause?.code,
    )
  assert.equal(await sqlstateOf(pool.transaction(tx => tx.query('select pg_sleep(5)'))), '57014')
  const release = Promise.withResolvers<void>()
  const locked = Promise.withResolvers<void>()
  const holding = admin.transaction(async tx => {
    await tx.query('lock table things')
    locked.resolve()
    await release.promise
  })
  await locked.promise
  assert.equal(await sqlstateOf(pool.transaction(tx => tx.query('lock table things'))), '55P03')
  release.resolve()
  await holding
  await assert.rejects(
    pool.transaction(async tx => {
      await tx.query('select 1')
      await new Promise(resolve => setTimeout(resolve, 400))
      await tx.query('select 1')
    }),
    failsWith('database_unavailable'),
  )
  assert.equal((await pool.query('select 1')).rowCount, 1)
})

test('a transaction opened by hand does not go back to the pool', async t => {
  const { pool } = await poolOf(t, { max: 1 })
  const { rows } = await pool.query<{ pid: number }>('begin; select pg_backend_pid() as pid')
  const next = await pool.query<{ pid: number }>('select pg_backend_pid() as pid')
  assert.notEqual(next.rows[0]?.pid, rows[0]?.pid)
})

test('a transaction is over when its work is: a statement that comes late is refused, one that runs is waited for', async t => {
  const { pool } = await poolOf(t, { max: 1 })
  let late: (() => Promise<unknown>) | undefined
  await assert.rejects(
    pool.transaction(async tx => {
      late = () => tx.query('select 1')
      tx.query('select pg_sleep(0.05)').catch(() => {})
      throw new Error('mine')
    }),
    /mine/,
  )
  await assert.rejects(late?.() ?? Promise.resolve(), failsWith('transaction_aborted'))
  assert.equal((await pool.query('select 1')).rowCount, 1)
})

test('idle connections are closed, old ones not used again', async t => {
  const { pool } = await poolOf(t, { idleTimeoutMs: 50 })
  await pool.query('select 1')
  await eventually(() => pool.state().open === 0)
  const { pool: young } = await poolOf(t, { maxLifetimeSeconds: 0.05 })
  const pid = async () => (await young.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid
  const first = await pid()
  await eventually(async () => (await pid()) !== first)
})

test('closing waits for what runs, refuses what comes, and leaves no connection', async t => {
  const { pool, admin } = await poolOf(t)
  await pool.query('select 1')
  const running = pool.query('select pg_sleep(0.1), 7 as seven')
  assert.deepEqual(pool.state(), { open: 1, idle: 0, waiting: 0 })
  const closing = pool.close()
  await assert.rejects(pool.query('select 1'), failsWith('pool_closed'))
  assert.equal((await running).rows.length, 1)
  await closing
  const { rows } = await admin.query(
    "select 1 from pg_stat_activity where datname = current_database() and application_name = 'pool under test'",
  )
  assert.deepEqual(rows, [])
})
