import assert from 'node:assert/strict'
import net from 'node:net'
import { type TestContext, test } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { isUnavailable, PgError, type PgErrorCode } from '../../src/pg/errors.ts'
import { createPool, type PoolOptions } from '../../src/pg/pool.ts'
import { testDatabase } from '../postgres.ts'
import { eventually } from './eventually.ts'

async function poolOf(t: TestContext, options: Partial<PoolOptions> = {}) {
  const { target, adminTarget } = await testDatabase(t, { migrated: false })
  const pool = createPool({ target, max: 3, applicationName: 'pool under test', log: silentLog, ...options })
  const admin = createPool({ target: adminTarget, max: 1, applicationName: 'admin', log: silentLog })
  t.after(async () => {
    await pool.close()
    await admin.close()
  })
  return { pool, admin, target }
}

function failsWith(code: PgErrorCode) {
  return (error: unknown) => {
    assert.ok(error instanceof PgError, `${error}`)
    assert.equal(error.code, code, error.message)
    return true
  }
}

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
  assert.ok(performance.now() - started < 2000)
  await eventually(async () => {
    const { rows } = await admin.query(
      "select 1 from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'",
    )
    return rows.length === 0
  })
  const later = await pool.query<{ pid: number }>('select pg_backend_pid() as pid')
  assert.notEqual(later.rows[0]?.pid, before.rows[0]?.pid)
})

test('a cancel request stays on the line until the other side closes, as poolers need it', async t => {
  const { target, admin } = await poolOf(t)
  const { host, port } = target().hosts[0] ?? { host: '', port: 0 }
  const sockets = new Set<net.Socket>()
  let hungUp = 0
  const relay = net.createServer({ allowHalfOpen: true }, socket => {
    const onward = net.connect(`${host}/.s.PGSQL.${port}`)
    for (const end of [socket, onward]) {
      sockets.add(end)
      end.on('error', () => {})
    }
    onward.pipe(socket)
    socket.once('data', first => {
      if (first.length !== 16) {
        onward.write(first)
        socket.pipe(onward)
        return
      }
      socket.once('end', () => hungUp++)
      setTimeout(() => (hungUp === 0 ? onward.write(first) : onward.destroy()), 50)
    })
  })
  relay.listen(0, '127.0.0.1')
  await new Promise(resolve => relay.once('listening', resolve))
  const relayed = [{ host: '127.0.0.1', port: (relay.address() as net.AddressInfo).port }]
  const { pool } = await poolOf(t, { target: () => ({ ...target(), hosts: relayed, sslmode: 'disable' }) })
  await assert.rejects(
    pool.query('select pg_sleep(61)', [], { deadlineMs: 50 }),
    failsWith('statement_timeout'),
  )
  assert.equal(hungUp, 0)
  const { rows } = await admin.query(
    "select 1 from pg_stat_activity where query like '%pg_sleep(61)%' and state = 'active' and pid <> pg_backend_pid()",
  )
  assert.deepEqual(rows, [])
  await pool.close()
  for (const socket of sockets) socket.destroy()
  await new Promise(resolve => relay.close(resolve))
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

test('a connection whose backend is ended is forgotten at once, and the process lives on', async t => {
  const { pool, admin } = await poolOf(t)
  await Promise.all([pool.query('select pg_sleep(0.01)'), pool.query('select pg_sleep(0.01)')])
  assert.equal(pool.state().idle, 2)
  await admin.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pool under test'",
  )
  await eventually(() => pool.state().open === 0)
  assert.equal((await pool.query('select 1')).rowCount, 1)
})

test('a statement cut off in the middle fails as unavailable; one flagged as repeatable is run again', async t => {
  const { pool, admin } = await poolOf(t)
  const cut = async (work: Promise<unknown>) => {
    await eventually(async () => {
      const { rowCount } = await admin.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pool under test' and query like '%pg_sleep%' and state = 'active'",
      )
      return rowCount > 0
    })
    return await work
  }
  const once = pool.query('select pg_sleep(5)')
  once.catch(() => {})
  await assert.rejects(cut(once), failsWith('database_unavailable'))
  await pool.query('create table attempts (n int); create sequence counted')
  const again = pool.query("select case when nextval('counted') = 1 then pg_sleep(5) end", [], {
    retry: true,
  })
  await cut(again)
  assert.deepEqual((await pool.query('select last_value::int as n from counted')).rows, [{ n: 2 }])
})

test('a transaction cut off in the middle is an error and leaves nothing', async t => {
  const { pool, admin } = await poolOf(t)
  await pool.query('create table things (id int)')
  const work = pool.transaction(async tx => {
    await tx.query('insert into things values (1)')
    await admin.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pool under test'",
    )
    await tx.query('insert into things values (2)')
  })
  await assert.rejects(work, failsWith('database_unavailable'))
  assert.deepEqual((await pool.query('select * from things')).rows, [])
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

test('a database that is away fails all who wait at once, and is back for the next', async t => {
  const { target } = await poolOf(t)
  let port = 1
  const { pool } = await poolOf(t, {
    target: () => (port === 0 ? target() : { ...target(), hosts: [{ host: '127.0.0.1', port }] }),
    acquireTimeoutMs: 5000,
  })
  const started = performance.now()
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => pool.query('select 1')))
  assert.ok(performance.now() - started < 2000)
  for (const result of results) {
    assert.ok(result.status === 'rejected' && failsWith('database_unavailable')(result.reason))
  }
  port = 0
  assert.equal((await pool.query('select 1')).rowCount, 1)
})

test('a network that swallows everything costs a caller no more than the time to wait for a connection', async t => {
  const hole = net.createServer(socket => socket.on('error', () => {}).resume())
  hole.listen(0, '127.0.0.1')
  await new Promise(resolve => hole.once('listening', resolve))
  const { port } = hole.address() as net.AddressInfo
  const { pool } = await poolOf(t, {
    target: () => ({
      hosts: [{ host: '127.0.0.1', port }],
      user: 'x',
      password: '',
      database: 'x',
      sslmode: 'disable',
      connectTimeoutMs: 60_000,
    }),
    acquireTimeoutMs: 200,
  })
  const started = performance.now()
  await assert.rejects(pool.query('select 1'), failsWith('database_unavailable'))
  assert.ok(performance.now() - started < 1500)
  await pool.close()
  await new Promise(resolve => hole.close(resolve))
})

test('wrong credentials are refused with a line for the operator that does not tell them', async t => {
  const { target } = await poolOf(t)
  const { pool } = await poolOf(t, { target: () => ({ ...target(), password: 'wr0ng' }) })
  await assert.rejects(pool.query('select 1'), error => {
    assert.doesNotMatch(String(error), /wr0ng/)
    assert.equal(isUnavailable(error), false)
    return failsWith('database_refused')(error)
  })
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
    "select 1 from pg_stat_activity where application_name = 'pool under test'",
  )
  assert.deepEqual(rows, [])
})

test('a storm of ended backends harms no more than the statements under way', async t => {
  const { pool, admin } = await poolOf(t)
  await pool.query('create table things (id int)')
  const until = performance.now() + 1500
  const codes = new Set<string>()
  let done = 0
  const note = (error: unknown) => {
    assert.ok(error instanceof PgError, `${error}`)
    codes.add(error.code)
  }
  const lone = async () => {
    while (performance.now() < until) await pool.query('select 1').then(() => done++, note)
  }
  const inTransaction = async () => {
    while (performance.now() < until) {
      const work = pool.transaction(async tx => {
        await tx.query('insert into things values (1)')
        await tx.query('insert into things values (2)')
      })
      await work.then(() => done++, note)
    }
  }
  const storm = async () => {
    while (performance.now() < until) {
      await admin.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pool under test' order by random() limit 1",
      )
    }
  }
  await Promise.all([lone(), lone(), lone(), inTransaction(), inTransaction(), storm()])
  assert.ok(done > 20, `${done}`)
  assert.deepEqual([...codes], ['database_unavailable'])
  assert.ok(pool.state().open <= 3)
  await Promise.all(Array.from({ length: 10 }, () => pool.query('select 1', [], { retry: true })))
  const { rows } = await pool.query(
    'select count(*) filter (where id = 1) = count(*) filter (where id = 2) as even from things',
  )
  assert.deepEqual(rows, [{ even: true }])
})
