import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { createDb, type Db, sql } from '../../src/pg/db.ts'
import { isLockTimeout } from '../../src/pg/errors.ts'
import type { Lease } from '../../src/pg/leases.ts'
import { lockInTx, tryLockInTx } from '../../src/pg/lock.ts'
import { type LockNamespace, lockKey, lockNamespaces } from '../../src/pg/lock-key.ts'
import { createPool } from '../../src/pg/pool.ts'
import { testDatabase } from '../postgres.ts'
import { eventually } from './eventually.ts'
import { startProcess, type TestProcess } from './process.ts'

test('a lock in a transaction makes others wait, and ends with it', async t => {
  const { db } = await testDatabase(t)
  let inside = 0
  let most = 0
  let total = 0
  await Promise.all(
    Array.from({ length: 8 }, () =>
      db.transaction(async tx => {
        await lockInTx(tx, 'session', 'x')
        most = Math.max(most, ++inside)
        await tx.rows(sql`select pg_sleep(0.005)`)
        total++
        inside--
      }),
    ),
  )
  assert.deepEqual([most, total], [1, 8])
  const left = await db.rows(
    sql`select 1 from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`,
  )
  assert.deepEqual(left, [])
})

test('who only tries is told, other keys and namespaces do not meet', async t => {
  const { db } = await testDatabase(t)
  await db.transaction(async holder => {
    assert.equal(await tryLockInTx(holder, 'session', 'x'), true)
    await db.transaction(async other => {
      assert.equal(await tryLockInTx(other, 'session', 'x'), false)
      assert.equal(await tryLockInTx(other, 'session', 'y'), true)
      assert.equal(await tryLockInTx(other, 'user', 'x'), true)
    })
  })
})

test('a lock that is not granted in time is an error of its own kind', async t => {
  const { db, target } = await testDatabase(t)
  const pool = createPool({ target, max: 1, applicationName: 'impatient', log: silentLog, lockTimeoutMs: 50 })
  const impatient: Db = createDb({ pool, schema: 'public', log: silentLog })
  t.after(() => impatient.close())
  await db.transaction(async holder => {
    await lockInTx(holder, 'session', 'x')
    await assert.rejects(
      impatient.transaction(tx => lockInTx(tx, 'session', 'x')),
      isLockTimeout,
    )
  })
})

test('keys differ by schema, namespace and key, and fit a bigint', () => {
  const names = Object.keys(lockNamespaces) as LockNamespace[]
  const keys = ['public', 'other'].flatMap(schema =>
    names.flatMap(name => ['', 'a', 'b'].map(key => lockKey(schema, name, key))),
  )
  const migrating = 2 * 2 // of a migration there is one lock per schema
  assert.equal(new Set(keys).size, keys.length - migrating)
  for (const key of keys) assert.equal(BigInt.asIntN(64, BigInt(key)).toString(), key)
  assert.equal(lockKey('public', 'migrate'), '-3216859851980237056')
})

async function processes(t: TestContext, count: number, options: Parameters<typeof startProcess>[2] = {}) {
  const { target, db } = await testDatabase(t)
  const started: TestProcess[] = []
  for (let i = 0; i < count; i++) started.push(await startProcess(target, `p${i}`, options))
  t.after(() => Promise.all(started.map(process => process.close())))
  return { db, started: started as [TestProcess, TestProcess, ...TestProcess[]] }
}

test('a lease has one holder at a time, and every change of hands counts the fence up', async t => {
  const { started } = await processes(t, 3)
  let inside = 0
  let most = 0
  const fences: number[] = []
  await Promise.all(
    started.flatMap(({ leases }) =>
      [1, 2, 3, 4, 5].map(async () => {
        const lease = await leases.acquire('work', { ttlMs: 2000, wait: AbortSignal.timeout(20_000) })
        assert.ok(lease)
        most = Math.max(most, ++inside)
        fences.push(lease.fence)
        await new Promise(resolve => setTimeout(resolve, 3))
        inside--
        await lease.release()
      }),
    ),
  )
  assert.equal(most, 1)
  assert.deepEqual(
    fences,
    Array.from({ length: 15 }, (_, i) => i + 1),
  )
})

test('the same process does not get a lease it holds, and gets another', async t => {
  const { started } = await processes(t, 2)
  const [{ leases }, other] = started
  const held = await leases.acquire('work', { ttlMs: 1000, info: { what: 'sync' } })
  assert.ok(held)
  assert.equal(await leases.acquire('work', { ttlMs: 1000 }), null)
  assert.equal(await other.leases.acquire('work', { ttlMs: 1000 }), null)
  assert.ok(await other.leases.acquire('other work', { ttlMs: 1000 }))
})

test('the beat renews: a lease outlives its time while its holder lives', async t => {
  const { db, started } = await processes(t, 2)
  const [holder, other] = started
  const lease = await holder.leases.acquire('work', { ttlMs: 400 })
  const read = sql<{ expires_at: Date }>`select expires_at from leases`
  const first = await db.first(read)
  await eventually(async () => Number((await db.first(read))?.expires_at) > Number(first?.expires_at) + 800)
  assert.equal(lease?.signal.aborted, false)
  assert.equal(await other.leases.acquire('work', { ttlMs: 400 }), null)
})

test('of a killed holder the lease is taken over soon after its time, by one who slept until then', async t => {
  const { db, started } = await processes(t, 2, { withBus: false })
  const [holder, other] = started
  const lease = await holder.leases.acquire('work', { ttlMs: 600 })
  assert.ok(lease)
  const taking = other.leases.acquire('work', { ttlMs: 600, wait: AbortSignal.timeout(20_000) })
  await db.rows(sql`select 1`)
  const killedAt = performance.now()
  await holder.kill()
  const taken = await taking
  assert.equal(taken?.fence, lease.fence + 1)
  assert.ok(performance.now() - killedAt < 15_000)
  assert.equal(lease.signal.aborted, true)
})

test('a holder whose renewals fail is told to stop before another can begin', async t => {
  const { db, started } = await processes(t, 2, { withBus: false })
  const [holder, other] = started
  const lease = await holder.leases.acquire('work', { ttlMs: 500 })
  assert.ok(lease)
  const order: string[] = []
  lease.signal.addEventListener('abort', () => order.push('holder stops'))
  await db.rows(sql`update leases set holder = gen_random_uuid()`) // what a forced release does to it
  const next: Lease | null = await other.leases.acquire('work', {
    ttlMs: 500,
    wait: AbortSignal.timeout(20_000),
  })
  order.push('other begins')
  assert.ok(next)
  assert.deepEqual(order, ['holder stops', 'other begins'])
})

test('a release wakes those who wait, long before the time is over', async t => {
  const { started } = await processes(t, 2)
  const [holder, other] = started
  const lease = await holder.leases.acquire('work', { ttlMs: 60_000 })
  const waiting = other.leases.acquire('work', { ttlMs: 60_000, wait: AbortSignal.timeout(20_000) })
  // The statement before it has its answer by then: it waits.
  await other.db.rows(sql`select 1`)
  const releasedAt = performance.now()
  await lease?.release()
  await lease?.release()
  assert.equal((await waiting)?.fence, (lease?.fence ?? 0) + 1)
  assert.ok(performance.now() - releasedAt < 15_000)
})

test('who waits makes no statement meanwhile, and stops when told to', async t => {
  const { directTarget: target, db, countStatements } = await testDatabase(t)
  const process = await startProcess(target, 'p', { intervalMs: 10_000 })
  t.after(() => process.close())
  const lease = await process.leases.acquire('work', { ttlMs: 30_000 })
  const stop = new AbortController()
  const waiting = process.leases.acquire('work', { wait: stop.signal })
  await eventually(
    async () =>
      (
        await db.rows(
          sql`select 1 from pg_stat_activity where datname = current_database() and application_name = 'p pool' and query like '%with taken%' and state = 'idle'`,
        )
      ).length > 0,
  )
  const statements = await countStatements(() => new Promise(resolve => setTimeout(resolve, 600)))
  assert.deepEqual(
    statements.filter(text => text.includes('taken')),
    [],
  )
  stop.abort()
  assert.equal(await waiting, null)
  assert.ok(lease)
})

test('closing gives back what is held, and ends the waiting', async t => {
  const { started } = await processes(t, 2)
  const [closing, other] = started
  const lease = await closing.leases.acquire('work')
  const theirs = await other.leases.acquire('other work')
  const waiting = closing.leases.acquire('other work', { wait: AbortSignal.timeout(20_000) })
  await closing.leases.close()
  assert.equal(await waiting, null)
  assert.equal(lease?.signal.aborted, true)
  assert.equal((await other.leases.acquire('work'))?.fence, (lease?.fence ?? 0) + 1)
  assert.equal(theirs?.signal.aborted, false)
})

test('a lease too short for its beat is refused', async t => {
  const { started } = await processes(t, 2)
  await assert.rejects(started[0].leases.acquire('work', { ttlMs: 299 }), RangeError)
})
