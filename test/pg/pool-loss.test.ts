import assert from 'node:assert/strict'
import net from 'node:net'
import { test } from 'node:test'
import { isUnavailable, PgError } from '../../src/pg/errors.ts'
import { eventually } from './eventually.ts'
import { failsWith, poolOf } from './pool-under-test.ts'

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
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    relay.close()
  })
  await new Promise(resolve => relay.once('listening', resolve))
  const relayed = [{ host: '127.0.0.1', port: (relay.address() as net.AddressInfo).port }]
  const { pool } = await poolOf(t, { target: () => ({ ...target(), hosts: relayed, sslmode: 'disable' }) })
  await assert.rejects(
    pool.query('select pg_sleep(61)', [], { deadlineMs: 50 }),
    failsWith('statement_timeout'),
  )
  assert.equal(hungUp, 0)
  await eventually(async () => {
    const { rows } = await admin.query(
      "select 1 from pg_stat_activity where datname = current_database() and query like '%pg_sleep(61)%' and state = 'active' and pid <> pg_backend_pid()",
    )
    return rows.length === 0
  })
})

test('a connection whose backend is ended is forgotten at once, and the process lives on', async t => {
  const { pool, admin } = await poolOf(t)
  await Promise.all([pool.query('select pg_sleep(0.01)'), pool.query('select pg_sleep(0.01)')])
  assert.equal(pool.state().idle, 2)
  await admin.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'pool under test'",
  )
  await eventually(() => pool.state().open === 0)
  assert.equal((await pool.query('select 1')).rowCount, 1)
})

test('a statement cut off in the middle fails as unavailable; one flagged as repeatable is run again', async t => {
  const { pool, admin } = await poolOf(t)
  const cut = async (work: Promise<unknown>) => {
    await eventually(async () => {
      const { rowCount } = await admin.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'pool under test' and query like '%pg_sleep%' and state = 'active'",
      )
      return rowCount > 0
    })
    return await work
  }
  const once = pool.query('select pg_sleep(60)')
  once.catch(() => {})
  await assert.rejects(cut(once), failsWith('database_unavailable'))
  await pool.query('create table attempts (n int); create sequence counted')
  const again = pool.query("select case when nextval('counted') = 1 then pg_sleep(60) end", [], {
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
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'pool under test'",
    )
    await tx.query('insert into things values (2)')
  })
  await assert.rejects(work, failsWith('database_unavailable'))
  assert.deepEqual((await pool.query('select * from things')).rows, [])
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
  assert.ok(performance.now() - started < 4_800)
  for (const result of results) {
    assert.ok(result.status === 'rejected' && failsWith('database_unavailable')(result.reason))
  }
  port = 0
  assert.equal((await pool.query('select 1')).rowCount, 1)
})

test('a network that swallows everything costs a caller no more than the time to wait for a connection', async t => {
  const hole = net.createServer(socket => socket.on('error', () => {}).resume())
  t.after(() => hole.close())
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
  assert.ok(performance.now() - started < 20_000)
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
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'pool under test' order by random() limit 1",
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
