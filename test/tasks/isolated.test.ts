// Bodies in threads of their own: what they are given and give back, and that they end when they are told to, whatever they do.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import Type from 'typebox'
import { sql } from '../../src/pg/db.ts'
import { defineIsolatedActor } from '../../src/pg/tasks/actor.ts'
import { eventually } from '../pg/eventually.ts'
import { noting, runsOf, start } from './engine.ts'

const module = new URL('./isolated-actor.ts', import.meta.url).href

function isolated(
  name: string,
  more: { retries?: number; timeLimitSeconds?: number; memoryMb?: number } = {},
) {
  const { memoryMb = 64, ...rest } = more
  return defineIsolatedActor({
    name,
    description: 'Runs in a thread.',
    payload: Type.Object({ what: Type.String() }),
    backoffSeconds: 0.05,
    retries: 0,
    ...rest,
    isolated: { module, memoryMb },
  })
}

async function run(t: TestContext, what: string, more: Parameters<typeof isolated>[1] = {}) {
  const one = await start(t, [isolated('apart', more)])
  const { id } = await one.tasks.enqueue(one.db, 'apart', { what })
  const runs = () => runsOf(one.database, id)
  const final = async () => {
    await eventually(async () => (await runs()).some(entry => entry.final), 60_000)
    return (await runs()).at(-1)!
  }
  return { ...one, id, runs, final }
}

test("an isolated body gives its result, and its lines are the task's", async t => {
  const { final, db, id } = await run(t, 'count')
  assert.deepEqual((await final()).result, { primes: 2262, attempt: 1 })
  const lines = await db.rows(
    sql<{ event: string; attributes: Record<string, unknown> }>`
      select event, attributes from task_logs where task_id = ${id}`,
  )
  assert.deepEqual(lines, [
    { event: 'counted', attributes: { primes: 2262, password: '********************' } },
  ])
})

test('an isolated body that throws is tried again', async t => {
  const { final, runs } = await run(t, 'fail', { retries: 1 })
  assert.equal((await final()).error, 'attempt 2 fails')
  assert.deepEqual(
    (await runs()).map(entry => [entry.attempt, entry.final]),
    [
      [1, false],
      [2, true],
    ],
  )
})

test('an endless loop is ended at its time limit, is tried again, and keeps nobody else waiting', async t => {
  const { actor, seen } = noting()
  const spinning = isolated('apart', { timeLimitSeconds: 1, retries: 1 })
  const { tasks, db, database } = await start(t, [spinning, actor], { concurrency: { default: 1 } })
  const { id } = await tasks.enqueue(db, 'apart', { what: 'spin' })
  await eventually(async () => (await runsOf(database, id)).some(entry => entry.final), 60_000)
  assert.deepEqual(
    (await runsOf(database, id)).map(entry => [entry.error, entry.state]),
    [
      ['time limit of 1 s', 'rejected'],
      ['time limit of 1 s', 'rejected'],
    ],
  )
  const abandoned = await db.rows(sql`select 1 from task_runs where abandoned`)
  assert.deepEqual(abandoned, [])
  await tasks.enqueue(db, 'note', { text: 'x' })
  await eventually(() => seen.length === 1)
})

test('an endless loop is ended by cancelling it', async t => {
  const { final, tasks, db, id } = await run(t, 'spin')
  // Its first line is there, so it spins.
  await eventually(
    async () => (await db.rows(sql`select 1 from task_logs where task_id = ${id}`)).length === 1,
  )
  await db.transaction(tx => tasks.cancel(tx, id))
  const { state, error } = await final()
  assert.deepEqual([state, error], ['cancelled', 'cancelled'])
})

test('one that heeds its signal ends without force', async t => {
  const { final } = await run(t, 'wait', { timeLimitSeconds: 1 })
  assert.equal((await final()).error, 'time limit of 1 s')
})

test('one that takes too much memory, or ends its thread, fails; the worker lives', async t => {
  const { actor, seen } = noting()
  const { tasks, db, database } = await start(t, [isolated('apart', { memoryMb: 24 }), actor])
  const hog = await tasks.enqueue(db, 'apart', { what: 'hog' })
  const leave = await tasks.enqueue(db, 'apart', { what: 'leave' })
  for (const [task, error] of [
    [hog, /memory/i],
    [leave, /ended by itself, code 3/],
  ] as const) {
    await eventually(async () => (await runsOf(database, task.id)).length === 1, 60_000)
    assert.match((await runsOf(database, task.id))[0]?.error ?? '', error)
  }
  await tasks.enqueue(db, 'note', { text: 'x' })
  await eventually(() => seen.length === 1)
})

test('what a body leaves running ends with it, and it sees nothing of the environment', async t => {
  const { final, tasks, db, database } = await run(t, 'linger')
  assert.equal((await final()).result, 'done')
  const { id } = await tasks.enqueue(db, 'apart', { what: 'environment' })
  await eventually(async () => (await runsOf(database, id)).length === 1)
  assert.deepEqual((await runsOf(database, id))[0]?.result, [])
})
