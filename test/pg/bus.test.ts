import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type BusBody, busChannel } from '../../src/pg/bus.ts'
import { sql } from '../../src/pg/db.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { eventually } from './eventually.ts'
import { startProcess } from './process.ts'

async function two(t: TestContext, options: { intervalMs?: number; resyncMs?: number } = {}) {
  const database = await testDatabase(t)
  const [a, b] = await Promise.all([
    startProcess(database.target, 'a', options),
    startProcess(database.target, 'b', options),
  ])
  t.after(() => Promise.all([a.close(), b.close()]))
  await Promise.all(
    [a, b].map(async ({ bus }) => {
      const heard = Promise.withResolvers<void>()
      bus.onResync(async () => heard.resolve())
      await heard.promise
    }),
  )
  return { database, a, b }
}

async function terminate(database: TestDatabase, applicationName: string): Promise<void> {
  await database.db.rows(
    sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${applicationName} and datname = current_database()`,
  )
}

test('a message reaches every process once, the sender without the database', async t => {
  const { a, b } = await two(t)
  const seen: Record<string, BusBody[]> = { a: [], b: [] }
  a.bus.subscribe('outpost.changed', body => seen.a?.push(body))
  b.bus.subscribe('outpost.changed', body => seen.b?.push(body))
  a.bus.publish('outpost.changed', { id: 'x', revision: 7 })
  await Promise.resolve()
  assert.deepEqual(seen.a, [{ id: 'x', revision: 7 }])
  await eventually(() => seen.b?.length === 1)
  b.bus.publish('outpost.changed', { id: 'y', revision: 1 })
  await eventually(() => seen.a?.length === 2)
  assert.deepEqual(seen, {
    a: [
      { id: 'x', revision: 7 },
      { id: 'y', revision: 1 },
    ],
    b: [
      { id: 'x', revision: 7 },
      { id: 'y', revision: 1 },
    ],
  })
})

test('equal messages that wait together are sent once, different ones share a notification', async t => {
  const { database, a, b } = await two(t, { intervalMs: 10_000 })
  const seen: BusBody[] = []
  b.bus.subscribe('n', body => seen.push(body))
  const statements = await database.countStatements(async () => {
    for (let i = 0; i < 100; i++) a.bus.publish('n', { i: i % 10 })
    await eventually(() => seen.length >= 10)
  })
  assert.deepEqual(
    seen.map(body => body.i),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  )
  assert.deepEqual(statements, ['select pg_notify($1, $2)'])
})

test('a burst too large for one notification takes several in one statement, and no row', async t => {
  const { database, a, b } = await two(t, { intervalMs: 10_000 })
  const seen: BusBody[] = []
  b.bus.subscribe('big', body => seen.push(body))
  const sent = Array.from({ length: 300 }, (_, i) => ({ i, text: `ä"\\${'x'.repeat(100)}` }))
  const statements = await database.countStatements(async () => {
    for (const body of sent) a.bus.publish('big', body)
    await eventually(() => seen.length === 300)
  })
  assert.deepEqual(seen, sent)
  assert.equal(statements.length, 1)
  assert.match(statements[0] ?? '', /^select pg_notify/)
})

test('a burst too large for that travels through a row that is deleted later', async t => {
  const { database, a, b } = await two(t)
  const seen: BusBody[] = []
  b.bus.subscribe('big', body => seen.push(body))
  const sent = Array.from({ length: 3000 }, (_, i) => ({ i, text: `ä"\\${'x'.repeat(100)}` }))
  for (const body of sent) a.bus.publish('big', body)
  await eventually(() => seen.length === 3000)
  assert.deepEqual(seen, sent)
  assert.equal((await database.db.rows(sql`select 1 from bus_blobs`)).length, 1)
  await database.db.rows(sql`update bus_blobs set created_at = now() - interval '2 minutes'`)
  await eventually(async () => (await database.db.rows(sql`select 1 from bus_blobs`)).length === 0)
})

test('a message too large for any notification still arrives', async t => {
  const { database, a, b } = await two(t, { intervalMs: 10_000 })
  const seen: BusBody[] = []
  b.bus.subscribe('big', body => seen.push(body))
  const bodies = [{ text: 'y'.repeat(9000) }, { text: 'z' }]
  for (const body of bodies) a.bus.publish('big', body)
  await eventually(() => seen.length === 2)
  assert.deepEqual(seen, bodies)
  assert.equal((await database.db.rows(sql`select 1 from bus_blobs`)).length, 1)
})

test('messages that follow each other closely share notifications; the first one waits for nobody', async t => {
  const { database, a, b } = await two(t, { intervalMs: 10_000 })
  const seen: BusBody[] = []
  b.bus.subscribe('n', body => seen.push(body))
  const began = performance.now()
  const statements = await database.countStatements(async () => {
    for (let i = 0; i < 200; i++) {
      a.bus.publish('n', { i })
      await new Promise(resolve => setImmediate(resolve))
    }
    await eventually(() => seen.length === 200)
  })
  assert.deepEqual(
    seen.map(body => body.i),
    Array.from({ length: 200 }, (_, i) => i),
  )
  assert.ok(statements.length <= 2 + (performance.now() - began) / 5, `${statements.length}`)
})

test('a sender is held to 200 notifications a second, without losing a message', async t => {
  const { database, a, b } = await two(t, { intervalMs: 10_000 })
  let seen = 0
  b.bus.subscribe('n', () => seen++)
  const started = performance.now()
  const statements = await database.countStatements(async () => {
    let n = 0
    while (performance.now() - started < 1500) {
      a.bus.publish('n', { n: n++ })
      await new Promise(resolve => setImmediate(resolve))
    }
    await eventually(() => seen === n)
  })
  const notifications = statements.filter(text => text.includes('pg_notify')).length
  assert.ok(notifications <= 200 + 200 * ((performance.now() - started) / 1000), `${notifications}`)
})

test('after its connection was ended a process listens again by itself, then compares with the tables', async t => {
  const { database, a, b } = await two(t)
  let resyncs = 0
  b.bus.onResync(async () => {
    resyncs++
  })
  await eventually(() => resyncs === 1)
  const endedAt = performance.now()
  await terminate(database, 'b direct')
  await eventually(() => !b.bus.healthy())
  await eventually(() => b.bus.healthy() && resyncs >= 2)
  assert.ok(performance.now() - endedAt < 10_000)
  const seen: BusBody[] = []
  b.bus.subscribe('n', body => seen.push(body))
  a.bus.publish('n', { after: true })
  await eventually(() => seen.length === 1)
})

test('while the direct connection is down messages still leave, by the pool', async t => {
  const { database, a, b } = await two(t)
  const seen: BusBody[] = []
  b.bus.subscribe('n', body => seen.push(body))
  await terminate(database, 'a direct')
  await eventually(() => !a.direct.isUp())
  a.bus.publish('n', { down: true })
  await eventually(() => seen.length === 1)
})

test('tables are compared from time to time without any message, and a failing comparison does not stop the others', async t => {
  const { a } = await two(t, { resyncMs: 50 })
  let good = 0
  a.bus.onResync(async () => {
    throw new Error('of no interest')
  })
  a.bus.onResync(async () => {
    good++
  })
  await eventually(() => good >= 4)
})

test('a process that has gone deaf notices by its own test, and connects anew', async t => {
  const { database, a, b } = await two(t)
  const { rows } = await b.direct.query<{ pid: number }>('select pg_backend_pid() as pid')
  await b.direct.query('unlisten *') // as a transaction pooler does to a connection
  await eventually(async () => {
    const next = await b.direct
      .query<{ pid: number }>('select pg_backend_pid() as pid')
      .catch(() => undefined)
    return next !== undefined && next.rows[0]?.pid !== rows[0]?.pid
  })
  await eventually(() => b.bus.healthy())
  const seen: BusBody[] = []
  b.bus.subscribe('n', body => seen.push(body))
  a.bus.publish('n')
  await eventually(() => seen.length === 1)
  assert.ok(database)
})

test('what is no message is ignored, a failing subscriber does not harm the next, an ended subscription is over', async t => {
  const { database, a, b } = await two(t)
  const seen: BusBody[] = []
  b.bus.subscribe('n', () => {
    throw new Error('of no interest')
  })
  const end = b.bus.subscribe('n', body => seen.push(body))
  for (const payload of [
    '',
    '{',
    '[]',
    '{"v":2}',
    '{"v":1,"s":"z","m":[["n",{"a":{}}]]}',
    '{"v":1,"s":"z","b":"1; drop"}',
  ]) {
    await database.db.rows(sql`select pg_notify('public_bus', ${payload})`)
  }
  a.bus.publish('n', { n: 1 })
  await eventually(() => seen.length === 1)
  end()
  b.bus.publish('n', { n: 2 })
  await Promise.resolve()
  assert.deepEqual(seen, [{ n: 1 }])
})

test('one listener per process, and presence that ends with it', async t => {
  const { database, a, b } = await two(t)
  const rows = await database.db.rows<{ application_name: string }>(
    sql`select application_name from pg_stat_activity where datname = current_database() and application_name like '% direct' order by 1`,
  )
  assert.deepEqual(rows, [{ application_name: 'a direct' }, { application_name: 'b direct' }])
  const names = async () =>
    (await database.db.rows(sql<{ name: string }>`select name from nodes order by 1`)).map(row => row.name)
  await eventually(async () => (await names()).join() === 'a,b')
  const c = await startProcess(database.target, 'c')
  await eventually(async () => (await names()).join() === 'a,b,c')
  await c.kill()
  assert.deepEqual(await names(), ['a', 'b', 'c'])
  await database.db.rows(sql`update nodes set seen_at = now() - interval '2 minutes' where name = 'c'`)
  await eventually(async () => (await names()).join() === 'a,b')
  assert.ok(a && b)
})

test('an idle process makes one statement per beat', async t => {
  const { database } = await two(t, { intervalMs: 400 })
  const started = performance.now()
  const statements = await database.countStatements(() => new Promise(resolve => setTimeout(resolve, 1300)))
  const beats = (performance.now() - started) / 380
  assert.ok(statements.length >= 4 && statements.length <= 2 * Math.ceil(beats), `${statements.length}`)
  assert.equal(new Set(statements).size, 1)
})

test('the channel carries the schema, whatever its length', () => {
  assert.equal(busChannel('public'), 'public_bus')
  const long = busChannel('ä'.repeat(31))
  assert.ok(Buffer.byteLength(long) <= 63)
  assert.notEqual(long, busChannel('ö'.repeat(31)))
})
