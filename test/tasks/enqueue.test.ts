import assert from 'node:assert/strict'
import { test } from 'node:test'
import Type from 'typebox'
import { sql } from '../../src/pg/db.ts'
import { defineActor } from '../../src/pg/tasks/actor.ts'
import { eventually } from '../pg/eventually.ts'
import { testDatabase } from '../postgres.ts'
import { noting, runsOf, start } from './engine.ts'

test('a task of a committed transaction runs, one of a rolled back transaction never existed', async t => {
  const { actor, seen } = noting()
  const { tasks, db, database } = await start(t, [actor])
  await assert.rejects(
    db.transaction(async tx => {
      await tasks.enqueue(tx, 'note', { text: 'rolled back' })
      throw new Error('no')
    }),
    /^Error: no$/,
  )
  const { id } = await db.transaction(tx => tasks.enqueue(tx, 'note', { text: 'kept' }))
  await eventually(async () => (await runsOf(database, id)).length === 1)
  assert.deepEqual(seen, [{ text: 'kept', attempt: 1, id }])
  assert.deepEqual(await runsOf(database, id), [
    {
      task_id: id,
      attempt: 1,
      final: true,
      state: 'done',
      status: 'done',
      error: null,
      result: { length: 4 },
      after_loss: false,
    },
  ])
  assert.deepEqual(await db.rows(sql`select id from pgboss.job where data ? 'actor'`), [])
})

test('the doorbell starts a task of another process long before the next poll', async t => {
  const { actor, seen } = noting()
  const { database } = await start(t, [actor], { pollMs: 600_000 })
  const sender = await start(t, [actor], { database, role: 'enqueue', name: 'server' })
  for (let i = 0; i < 20; i++) {
    await sender.db.transaction(tx => sender.tasks.enqueue(tx, 'note', { text: String(i) }))
    await eventually(() => seen.length === i + 1, 2000)
  }
})

test('one ring empties the queue, however many wait', async t => {
  const { actor, seen } = noting()
  const { tasks, db } = await start(t, [actor], { pollMs: 600_000 })
  await db.transaction(async tx => {
    for (let i = 0; i < 55; i++) await tasks.enqueue(tx, 'note', { text: String(i) })
  })
  await eventually(() => seen.length === 55, 5000)
})

test('without the doorbell the poll finds the task', async t => {
  const { actor, seen } = noting()
  const { database } = await start(t, [actor], { pollMs: 200 })
  const sender = await start(t, [actor], { database, role: 'enqueue', name: 'server' })
  await sender.bus.close()
  await sender.tasks.enqueue(sender.db, 'note', { text: 'x' })
  await eventually(() => seen.length === 1, 2000)
})

test('of tasks with the same dedupe one waits, and one more may run', async t => {
  const gate = Promise.withResolvers<void>()
  const texts: string[] = []
  const actor = defineActor({
    name: 'refresh',
    description: 'Refreshes.',
    payload: Type.Object({ text: Type.String() }),
    run: async ({ payload }) => {
      texts.push(payload.text)
      await gate.promise
    },
  })
  const { tasks, db } = await start(t, [actor])
  await tasks.enqueue(db, 'refresh', { text: 'first' }, { dedupe: 'x' })
  await eventually(() => texts.length === 1)
  const results = await Promise.all(
    Array.from({ length: 30 }, (_, i) =>
      db.transaction(tx =>
        tasks.enqueue(tx, 'refresh', { text: `later ${i}` }, { dedupe: 'x', delayMs: 500 }),
      ),
    ),
  )
  assert.equal(results.filter(result => !result.deduplicated).length, 1)
  assert.equal(new Set(results.map(result => result.id)).size, 1)
  gate.resolve()
  await eventually(() => texts.length === 2)
  assert.deepEqual(await db.rows(sql`select id from tasks where last_run is null and state = 'queued'`), [])
})

test('a waiting twin does not start before the change that relies on it is committed', async t => {
  let value = 'old'
  const seen: string[] = []
  const actor = defineActor({
    name: 'read',
    description: 'Reads.',
    payload: Type.Object({}),
    run: async () => {
      const row = await database.db.first(sql<{ v: string }>`select v from changes`)
      seen.push(row!.v)
    },
  })
  const database = await testDatabase(t)
  await database.db.rows(sql`create table changes (v text)`)
  await database.db.rows(sql`insert into changes values ('old')`)
  const { tasks, db } = await start(t, [actor], { database, pollMs: 50 })
  await tasks.enqueue(db, 'read', {}, { dedupe: 'x', delayMs: 300 })
  await db.transaction(async tx => {
    value = 'new'
    await tx.rows(sql`update changes set v = ${value}`)
    const { deduplicated } = await tasks.enqueue(tx, 'read', {}, { dedupe: 'x' })
    assert.equal(deduplicated, true)
    // Longer than the twin's delay: unless it is held back, it runs now and reads the old value.
    await tx.rows(sql`select pg_sleep(0.8)`)
  })
  await eventually(() => seen.length === 1)
  assert.deepEqual(seen, ['new'])
})

test('a payload that the actor does not take is refused when it is enqueued, and never tried when it is met', async t => {
  const { actor, seen } = noting()
  const { tasks, db, database } = await start(t, [actor])
  await assert.rejects(tasks.enqueue(db, 'note', { text: 5 }), /not a payload for "note"/)
  await assert.rejects(tasks.enqueue(db, 'nobody', {}), /no actor "nobody"/)
  const { id } = await tasks.enqueue(db, 'note', { text: 'x' }, { delayMs: 60_000 })
  await db.rows(
    sql`update pgboss.job set data = jsonb_set(data, '{payload}', '{"text": 5}') where id = ${id}`,
  )
  await db.transaction(tx => tasks.retry(tx, id))
  await eventually(async () => (await runsOf(database, id)).length === 1)
  const [run] = await runsOf(database, id)
  assert.match(run?.error ?? '', /the payload is not what "note" takes: \/text/)
  assert.equal(run?.final, true)
  assert.deepEqual(seen, [])
})

test('higher priority goes first', async t => {
  const { actor, seen } = noting()
  const database = await testDatabase(t)
  const sender = await start(t, [actor], { database, role: 'enqueue' })
  for (const [text, priority] of [
    ['low', -5],
    ['normal', 0],
    ['high', 10],
  ] as const) {
    await sender.tasks.enqueue(sender.db, 'note', { text }, { priority })
  }
  await start(t, [actor], { database, concurrency: { default: 1 } })
  await eventually(() => seen.length === 3)
  assert.deepEqual(
    seen.map(one => one.text),
    ['high', 'normal', 'low'],
  )
})
