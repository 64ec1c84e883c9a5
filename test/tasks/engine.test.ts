import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import Type from 'typebox'
import { sql } from '../../src/pg/db.ts'
import { type AnyActor, defineActor } from '../../src/pg/tasks/actor.ts'
import type { TasksOptions } from '../../src/pg/tasks/tasks.ts'
import { eventually } from '../pg/eventually.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { startTaskProcess } from './process.ts'

async function start(
  t: TestContext,
  actors: AnyActor[],
  options: Partial<TasksOptions> & { database?: TestDatabase; name?: string } = {},
) {
  const database = options.database ?? (await testDatabase(t))
  const one = await startTaskProcess(database.target, actors, options)
  t.after(() => one.close())
  return { ...one, database }
}

interface RunRow {
  task_id: string
  attempt: number
  final: boolean
  state: string
  status: string
  error: string | null
  result: unknown
  after_loss: boolean
}

function runsOf(database: TestDatabase, id: string): Promise<RunRow[]> {
  return database.db.rows(
    sql<RunRow>`select task_id, attempt, final, state, status, error, result, after_loss from task_runs where task_id = ${id} order by finished_at`,
  )
}

/** An actor that notes its payloads. */
function noting(name = 'note', more: Partial<AnyActor> = {}) {
  const seen: { text: string; attempt: number; id: string }[] = []
  const actor = defineActor({
    name,
    description: 'Notes a text.',
    payload: Type.Object({ text: Type.String() }),
    run: async ({ payload, attempt, id }) => {
      seen.push({ text: payload.text, attempt, id })
      return { length: payload.text.length }
    },
  })
  return { actor: { ...actor, ...more } as AnyActor, seen }
}

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
    { task_id: id, attempt: 1, final: true, state: 'done', status: 'done', error: null, result: { length: 4 }, after_loss: false },
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
      db.transaction(tx => tasks.enqueue(tx, 'refresh', { text: `later ${i}` }, { dedupe: 'x', delayMs: 500 })),
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

test('a failing task is tried again with backoff, and its history keeps every attempt and its lines', async t => {
  const attempts: number[] = []
  const actor = defineActor({
    name: 'flaky',
    description: 'Fails twice.',
    payload: Type.Object({}),
    retries: 3,
    backoffSeconds: 0.05,
    run: async ({ attempt, log }) => {
      attempts.push(attempt)
      log.info('trying', { password: 'never kept', attempt })
      if (attempt < 3) throw new Error(`attempt ${attempt} fails`)
      log.warning('only just')
    },
  })
  const { tasks, db, database } = await start(t, [actor])
  const { id } = await tasks.enqueue(db, 'flaky', {})
  await eventually(async () => (await runsOf(database, id)).some(run => run.final))
  assert.deepEqual(attempts, [1, 2, 3])
  assert.deepEqual(
    (await runsOf(database, id)).map(run => [run.attempt, run.final, run.status, run.error]),
    [
      [1, false, 'error', 'attempt 1 fails'],
      [2, false, 'error', 'attempt 2 fails'],
      [3, true, 'warning', null],
    ],
  )
  const lines = await db.rows(
    sql<{ event: string; level: string; attributes: { password?: string } }>`
      select event, level, attributes from task_logs where task_id = ${id} order by at, seq`,
  )
  assert.deepEqual(
    lines.map(line => `${line.level} ${line.event}`),
    [
      'info trying',
      'warning attempt failed, the task will be tried again',
      'info trying',
      'warning attempt failed, the task will be tried again',
      'info trying',
      'warning only just',
    ],
  )
  assert.equal(lines[0]?.attributes.password, '********************')
})

test('a task that fails for good is kept as such and can be run again with its payload', async t => {
  let broken = true
  const actor = defineActor({
    name: 'broken',
    description: 'Fails.',
    payload: Type.Object({ n: Type.Integer() }),
    retries: 0,
    run: async ({ payload }) => {
      if (broken) throw new Error('\u0000 not now')
      return payload.n
    },
  })
  const { tasks, db, database } = await start(t, [actor])
  const { id } = await tasks.enqueue(db, 'broken', { n: 7 }, { uid: 'seven' })
  await eventually(async () => (await runsOf(database, id)).length === 1)
  const [failed] = await runsOf(database, id)
  assert.equal(failed?.state, 'rejected')
  assert.equal(failed?.status, 'error')
  broken = false
  assert.equal(await db.transaction(tx => tasks.retry(tx, id)), true)
  await eventually(async () => (await runsOf(database, id)).length === 2)
  assert.deepEqual(
    (await runsOf(database, id)).map(run => [run.final, run.state, run.result]),
    [
      [false, 'rejected', null],
      [true, 'done', 7],
    ],
  )
  assert.deepEqual(await db.rows(sql`select uid, state from tasks where id = ${id}`), [{ uid: 'seven', state: 'done' }])
  assert.equal(await db.transaction(tx => tasks.retry(tx, '00000000-0000-4000-8000-000000000000')), false)
})

test('a payload that the actor does not take is refused when it is enqueued, and never tried when it is met', async t => {
  const { actor, seen } = noting()
  const { tasks, db, database } = await start(t, [actor])
  await assert.rejects(tasks.enqueue(db, 'note', { text: 5 }), /not a payload for "note"/)
  await assert.rejects(tasks.enqueue(db, 'nobody', {}), /no actor "nobody"/)
  const { id } = await tasks.enqueue(db, 'note', { text: 'x' }, { delayMs: 60_000 })
  await db.rows(sql`update pgboss.job set data = jsonb_set(data, '{payload}', '{"text": 5}') where id = ${id}`)
  await db.transaction(tx => tasks.retry(tx, id))
  await eventually(async () => (await runsOf(database, id)).length === 1)
  const [run] = await runsOf(database, id)
  assert.match(run?.error ?? '', /the payload is not what "note" takes: \/text/)
  assert.equal(run?.final, true)
  assert.deepEqual(seen, [])
})

test('a task of an unknown actor waits for a program that knows it', async t => {
  const { actor, seen } = noting()
  const sender = await start(t, [actor], { role: 'enqueue', name: 'new server' })
  const { database } = sender
  const old = await startTaskProcess(database.target, [], { pollMs: 100 })
  const { id } = await sender.tasks.enqueue(sender.db, 'note', { text: 'x' })
  const parked = async () =>
    (await database.db.rows(sql`select 1 from tasks where id = ${id} and state = 'queued' and eta > now() + interval '30 seconds'`))
      .length === 1
  await eventually(parked)
  await old.close()
  await start(t, [actor], { database })
  await sender.db.transaction(tx => sender.tasks.retry(tx, id))
  await eventually(() => seen.length === 1)
  assert.equal(seen[0]?.attempt, 1)
})

test('the time limit ends a task that heeds its signal, and gives up one that does not', async t => {
  const stuck = Promise.withResolvers<void>()
  const heeding = defineActor({
    name: 'heeding',
    description: 'Waits for its signal.',
    payload: Type.Object({}),
    retries: 0,
    timeLimitSeconds: 1,
    run: ({ signal }) => sleep(60_000, undefined, { signal }),
  })
  const deaf = defineActor({
    name: 'deaf',
    description: 'Waits on.',
    payload: Type.Object({}),
    retries: 3,
    timeLimitSeconds: 1,
    run: () => stuck.promise,
  })
  const { tasks, db, database } = await start(t, [heeding, deaf], { graceMs: 200 })
  t.after(() => stuck.resolve())
  const one = await tasks.enqueue(db, 'heeding', {})
  const two = await tasks.enqueue(db, 'deaf', {})
  await eventually(async () => (await runsOf(database, one.id)).length + (await runsOf(database, two.id)).length === 2)
  assert.equal((await runsOf(database, one.id))[0]?.error, 'time limit of 1 s')
  const [given] = await runsOf(database, two.id)
  assert.equal(given?.error, 'time limit, not heeded')
  // It may still be running, so there is no second attempt.
  assert.equal(given?.final, true)
  stuck.resolve()
})

test('an actor with a limit never runs more often at a time, in however many processes', async t => {
  let now = 0
  let most = 0
  let done = 0
  const actor = defineActor({
    name: 'single',
    description: 'One at a time.',
    payload: Type.Object({}),
    limit: 1,
    run: async () => {
      most = Math.max(most, ++now)
      await sleep(15)
      now--
      done++
    },
  })
  const { tasks, db, database } = await start(t, [actor], { pollMs: 200 })
  await start(t, [actor], { database, name: 'second', pollMs: 200 })
  for (let i = 0; i < 12; i++) await tasks.enqueue(db, 'single', {})
  await eventually(() => done === 12, 20_000)
  assert.equal(most, 1)
})

test('higher priority goes first', async t => {
  const { actor, seen } = noting()
  const database = await testDatabase(t)
  const sender = await start(t, [actor], { database, role: 'enqueue' })
  for (const [text, priority] of [['low', -5], ['normal', 0], ['high', 10]] as const) {
    await sender.tasks.enqueue(sender.db, 'note', { text }, { priority })
  }
  await start(t, [actor], { database, concurrency: { default: 1 } })
  await eventually(() => seen.length === 3)
  assert.deepEqual(
    seen.map(one => one.text),
    ['high', 'normal', 'low'],
  )
})
