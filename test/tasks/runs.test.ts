import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import Type from 'typebox'
import { sql } from '../../src/pg/db.ts'
import { defineActor } from '../../src/pg/tasks/actor.ts'
import { eventually } from '../pg/eventually.ts'
import { noting, runsOf, start } from './engine.ts'
import { startTaskProcess } from './process.ts'

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
  assert.deepEqual(await db.rows(sql`select uid, state from tasks where id = ${id}`), [
    { uid: 'seven', state: 'done' },
  ])
  assert.equal(await db.transaction(tx => tasks.retry(tx, '00000000-0000-4000-8000-000000000000')), false)
})

test('a task of an unknown actor waits for a program that knows it', async t => {
  const { actor, seen } = noting()
  const sender = await start(t, [actor], { role: 'enqueue', name: 'new server' })
  const { database } = sender
  const old = await startTaskProcess(database.target, [], { pollMs: 100 })
  const { id } = await sender.tasks.enqueue(sender.db, 'note', { text: 'x' })
  const parked = async () =>
    (
      await database.db.rows(
        sql`select 1 from tasks where id = ${id} and state = 'queued' and eta > now() + interval '30 seconds'`,
      )
    ).length === 1
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
  await eventually(
    async () => (await runsOf(database, one.id)).length + (await runsOf(database, two.id)).length === 2,
  )
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
