import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { reservedForLogin } from '../../src/pg/budget.ts'
import { isUnavailable, PgError } from '../../src/pg/errors.ts'
import { inLane } from '../../src/pg/lane.ts'
import { createPool, type PoolOptions } from '../../src/pg/pool.ts'
import { testDatabase } from '../postgres.ts'
import { eventually } from './eventually.ts'

async function poolOf(t: TestContext, options: Partial<PoolOptions> = {}) {
  const { target } = await testDatabase(t, { migrated: false })
  const name = 'lanes under test'
  const pool = createPool({
    target,
    max: 10,
    applicationName: name,
    log: silentLog,
    reservedForLogin,
    ...options,
  })
  t.after(() => pool.close())
  return pool
}

test('admin lists that hold all they can get leave sign-in its two connections', async t => {
  const pool = await poolOf(t)
  const release = Promise.withResolvers<void>()
  const lists = Array.from({ length: 30 }, () => pool.transaction(() => release.promise))
  await eventually(() => pool.state().open === 8 && pool.state().waiting === 22)
  const times: number[] = []
  for (let i = 0; i < 50; i++) {
    const began = performance.now()
    await inLane('login', async () => {
      await Promise.resolve()
      await pool.query('select 1')
    })
    times.push(performance.now() - began)
  }
  assert.ok(times.sort((a, b) => a - b)[25]! < 50, `${times}`)
  assert.equal(pool.state().waiting, 22)
  assert.ok(pool.state().open <= 10)
  release.resolve()
  await Promise.all(lists)
  assert.equal(pool.state().waiting, 0)
})

test('sign-in may use every connection, and what is left over still serves the others', async t => {
  const pool = await poolOf(t)
  const release = Promise.withResolvers<void>()
  const logins = inLane('login', () =>
    Array.from({ length: 9 }, () => pool.transaction(() => release.promise)),
  )
  await eventually(() => pool.state().open === 9)
  assert.equal((await pool.query('select 1')).rowCount, 1)
  release.resolve()
  await Promise.all(logins)
})

test('a lane whose queue is full refuses at once, and the other lane does not notice', async t => {
  const pool = await poolOf(t, { max: 4, maxWaiting: 3, acquireTimeoutMs: 3000 })
  const release = Promise.withResolvers<void>()
  const hold = () => [1, 2, 3].map(() => pool.transaction(() => release.promise))
  const busy = hold()
  await eventually(() => pool.state().open === 3 && pool.state().waiting === 0)
  busy.push(...hold())
  await eventually(() => pool.state().waiting === 3)
  const began = performance.now()
  await assert.rejects(pool.query('select 1'), error => {
    assert.ok(error instanceof PgError && error.code === 'pool_exhausted' && isUnavailable(error))
    return true
  })
  assert.ok(performance.now() - began < 2_000)
  await inLane('login', () => pool.query('select 1'))
  assert.equal(pool.figures.lanes.general.refused, 1)
  assert.equal(pool.figures.lanes.login.refused, 0)
  release.resolve()
  await Promise.all(busy)
})

test('a pool made smaller closes what is too much as it becomes free, made larger it serves those who wait', async t => {
  const pool = await poolOf(t, { max: 6, reservedForLogin: () => 0 })
  const release = Promise.withResolvers<void>()
  const busy = Array.from({ length: 8 }, () => pool.transaction(() => release.promise))
  await eventually(() => pool.state().open === 6 && pool.state().waiting === 2)
  pool.resize(8)
  await eventually(() => pool.state().waiting === 0)
  pool.resize(3)
  release.resolve()
  await Promise.all(busy)
  await eventually(() => pool.state().open <= 3)
  await Promise.all(Array.from({ length: 20 }, () => pool.query('select pg_sleep(0.002)')))
  assert.ok(pool.state().open <= 3 && pool.max() === 3)
})

test('connections that die in the hands of one lane do not take its room with them', async t => {
  const pool = await poolOf(t, { max: 4 })
  for (let round = 0; round < 5; round++) {
    const died = await Promise.allSettled(
      [1, 2, 3].map(() => pool.query('select pg_terminate_backend(pg_backend_pid()), pg_sleep(5)')),
    )
    assert.ok(died.every(({ status }) => status === 'rejected'))
  }
  const done = await Promise.all([1, 2, 3].map(() => pool.query('select pg_sleep(0.05)')))
  assert.equal(done.length, 3)
  assert.deepEqual(pool.state().waiting, 0)
  assert.ok(pool.figures.lost >= 15)
})

test('when a pool is made larger, those who wait get the connections that lie idle', async t => {
  const pool = await poolOf(t, { max: 4, reservedForLogin: max => (max > 4 ? 1 : 3) })
  const release = Promise.withResolvers<void>()
  await inLane('login', () => Promise.all([1, 2, 3, 4].map(() => pool.query('select pg_sleep(0.05)'))))
  const busy = [1, 2, 3].map(() => pool.transaction(() => release.promise))
  await eventually(() => pool.state().waiting === 2 && pool.state().idle === 3)
  pool.resize(5)
  await eventually(() => pool.state().waiting === 0)
  assert.equal(pool.figures.opened, 4)
  release.resolve()
  await Promise.all(busy)
})
