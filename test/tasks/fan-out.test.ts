// Tasks that go through many objects page by page.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import Type from 'typebox'
import { type Db, type Queryable, sql } from '../../src/pg/db.ts'
import type { AnyActor } from '../../src/pg/tasks/actor.ts'
import { definePagedActors } from '../../src/pg/tasks/fan-out.ts'
import { eventually } from '../pg/eventually.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { startTaskCore } from './core.ts'
import { runsOf, start } from './engine.ts'

const objects = 95
const pageSize = 10

async function prepare(db: Db): Promise<void> {
  await db.rows(sql`create table things (id text primary key)`)
  await db.rows(
    sql`insert into things select lpad(n::text, 5, '0') from generate_series(1, ${objects}::int) as n`,
  )
  await db.rows(sql`create table visits (id text, worker text, at timestamptz default clock_timestamp())`)
}

const things = {
  name: 'visit',
  description: 'Visits every thing.',
  payload: Type.Object({}),
  backoffSeconds: 0.05,
  pageSize,
}

function reading(db: Db) {
  return {
    count: async () => (await db.first(sql<{ n: number }>`select count(*)::int as n from things`))?.n ?? 0,
    keys: async (on: Queryable, _payload: object, after: string | null, limit: number) => {
      const rows = await on.rows(sql<{ id: string }>`
        select id from things where id > ${after ?? ''} order by id limit ${limit}`)
      return rows.map(row => row.id)
    },
  }
}

async function visits(database: TestDatabase): Promise<{ id: string; n: number }[]> {
  return await database.db.rows(
    sql<{ id: string; n: number }>`select id, count(*)::int as n from visits group by id order by id`,
  )
}

test('progress is shown while the task goes through its pages, and a failed page is the only one done again', async t => {
  const gates = new Map<number, PromiseWithResolvers<void>>()
  const gate = (page: number) => {
    const found = gates.get(page) ?? Promise.withResolvers<void>()
    gates.set(page, found)
    // One may be told to fail before anybody waits for it.
    found.promise.catch(() => {})
    return found
  }
  t.after(() => {
    for (let page = 0; page < 12; page++) gate(page).resolve()
  })
  let page = 0
  const pages: string[] = []
  const actors = (db: Db): AnyActor[] =>
    definePagedActors(db, {
      ...things,
      ...reading(db),
      page: async keys => {
        pages.push(keys[0] ?? '')
        await gate(page++).promise
      },
    })
  const { engine, origin, admin } = await startTaskCore(t, core => actors(core.db))
  await prepare(engine.db)
  const { id } = await engine.tasks.enqueue(engine.db, 'visit', {})
  const description = async () => {
    const url = `${origin}/api/v3/tasks/tasks/${id}/`
    const response = await fetch(url, { headers: { authorization: `Bearer ${admin}` } })
    return ((await response.json()) as { description: string }).description
  }
  gate(0).resolve()
  gate(1).resolve()
  gate(2).resolve()
  await eventually(async () => (await description()) === `Visits every thing. (30 of ${objects})`)
  gate(3).reject(new Error('page fails'))
  for (let next = 4; next < 12; next++) gate(next).resolve()
  await eventually(
    async () =>
      (await engine.db.rows(sql`select 1 from task_runs where task_id = ${id} and final`)).length === 1,
  )
  assert.deepEqual(
    await engine.db.rows(sql`select state, result from task_runs where task_id = ${id} and final`),
    [{ state: 'done', result: { done: objects, total: objects } }],
  )
  assert.deepEqual(pages, [
    ...['00001', '00011', '00021', '00031'],
    ...['00031', '00041', '00051', '00061', '00071', '00081', '00091'],
  ])
  assert.deepEqual(await engine.db.rows(sql`select 1 from task_fan_outs`), [])
  assert.deepEqual(await engine.db.rows(sql`select 1 from task_fan_out_pages`), [])
})

test('others help where there is room, each object is visited once, and nothing is filed per object', async t => {
  const database = await testDatabase(t)
  await prepare(database.db)
  const together = Promise.withResolvers<void>()
  const workers = new Set<string>()
  const actors = (name: string) =>
    definePagedActors(database.db, {
      ...things,
      ...reading(database.db),
      helpers: 2,
      page: async keys => {
        workers.add(name)
        // The first page waits for help, so that there is some.
        if (workers.size === 2) together.resolve()
        await together.promise
        await database.db.rows(
          sql`insert into visits (id, worker) select k, ${name} from unnest(${keys}::text[]) as k`,
        )
      },
    })
  const one = { database, name: 'one', concurrency: { default: 1 }, pollMs: 100 }
  const first = await start(t, actors('one'), one)
  await start(t, actors('two'), { ...one, name: 'two' })
  const { id } = await first.tasks.enqueue(first.db, 'visit', {})
  await eventually(async () => (await runsOf(database, id)).length === 1)
  assert.deepEqual((await runsOf(database, id))[0]?.result, { done: objects, total: objects })
  const all = await visits(database)
  assert.equal(all.length, objects)
  assert.ok(all.every(visit => visit.n === 1))
  await eventually(
    async () => (await database.db.rows(sql`select 1 from tasks where last_run is null`)).length === 0,
  )
  const filed = await database.db.rows(sql`select 1 from tasks`)
  assert.equal(filed.length, 3)
})

async function spawnWorker(
  t: TestContext,
  database: TestDatabase,
  options: { name: string; stopAt?: number },
) {
  const child = spawn(
    process.execPath,
    [
      join(import.meta.dirname, 'paged-process.ts'),
      JSON.stringify({ target: database.target(), ...options }),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  await once(child.stdout, 'data')
  return child
}

test('a worker that is killed in the middle leaves its pages to another, who repeats none that was finished', async t => {
  const database = await testDatabase(t)
  await prepare(database.db)
  const doomed = await spawnWorker(t, database, { name: 'doomed', stopAt: 4 })
  const noop = definePagedActors(database.db, { ...things, ...reading(database.db), page: async () => {} })
  const sender = await start(t, noop, { database, role: 'enqueue' })
  const { id } = await sender.tasks.enqueue(sender.db, 'visit', {})
  // The fourth page is begun and never finished.
  await eventually(async () => (await visits(database)).length === 4 * pageSize)
  doomed.kill('SIGKILL')
  await spawnWorker(t, database, { name: 'other' })
  await eventually(async () => (await runsOf(database, id)).length === 1, 90_000)
  assert.deepEqual((await runsOf(database, id))[0]?.result, { done: objects, total: objects })
  const all = await visits(database)
  assert.equal(all.length, objects)
  const twice = all.filter(visit => visit.n > 1).map(visit => visit.id)
  assert.deepEqual([twice[0], twice.at(-1), twice.length], ['00031', '00040', pageSize])
})

test('cancelling it ends its helpers too', async t => {
  const database = await testDatabase(t)
  await prepare(database.db)
  let pages = 0
  const actors = definePagedActors(database.db, {
    ...things,
    ...reading(database.db),
    pageSize: 1,
    helpers: 1,
    page: async (_keys, { signal }) => {
      // Long enough for the cancel to arrive; it heeds the signal.
      if (++pages >= 2)
        await new Promise((_, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
        )
    },
  })
  const { tasks, db } = await start(t, actors, { database, concurrency: { default: 1 } })
  const { id } = await tasks.enqueue(db, 'visit', {})
  await eventually(() => pages === 2)
  await db.transaction(tx => tasks.cancel(tx, id))
  await eventually(async () => (await runsOf(database, id))[0]?.state === 'cancelled')
  await eventually(async () => (await db.rows(sql`select 1 from tasks where last_run is null`)).length === 0)
  assert.equal(pages, 2)
})
