// What a running task says is there to be read while it runs.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import Type from 'typebox'
import { sql } from '../../src/pg/db.ts'
import { defineActor, type RunContext } from '../../src/pg/tasks/actor.ts'
import { eventually } from '../pg/eventually.ts'
import { startTaskCore } from './core.ts'
import { start } from './engine.ts'

const Nothing = Type.Object({})

/** A task that says what the test tells it to. */
function speaking() {
  const release = Promise.withResolvers<void>()
  const contexts: RunContext<unknown>[] = []
  const actor = defineActor({
    name: 'speak',
    description: 'Speaks.',
    payload: Nothing,
    retries: 1,
    backoffSeconds: 0.05,
    run: async context => {
      contexts.push(context)
      if (contexts.length === 1) await release.promise
    },
  })
  return { actor, contexts, release }
}

interface Shown {
  state: string
  description: string
  logs: { event: string }[]
  previous_logs: { event: string }[]
}

test('lines and progress of a running task are shown while it runs, and once', async t => {
  const { actor, contexts, release } = speaking()
  t.after(() => release.resolve())
  const { engine, origin, admin } = await startTaskCore(t, () => [actor])
  const { id } = await engine.tasks.enqueue(engine.db, 'speak', {})
  const get = async () => {
    const url = `${origin}/api/v3/tasks/tasks/${id}/`
    const response = await fetch(url, { headers: { authorization: `Bearer ${admin}` } })
    return (await response.json()) as Shown
  }
  const events = (lines: { event: string }[]) => lines.map(line => line.event)
  await eventually(() => contexts.length === 1)
  contexts[0]!.log.info('first')
  await eventually(async () => (await get()).logs.length === 1)
  contexts[0]!.log.info('second')
  contexts[0]!.progress(1, 2)
  await eventually(async () => (await get()).logs.length === 2)
  await eventually(async () => (await get()).description === 'Speaks. (1 of 2)')
  const running = await get()
  assert.equal(running.state, 'running')
  assert.deepEqual(events(running.logs), ['first', 'second'])
  assert.deepEqual(running.previous_logs, [])
  contexts[0]!.log.warning('third')
  release.reject(new Error('fails'))
  await eventually(async () => (await get()).state === 'done')
  const done = await get()
  assert.deepEqual(events(done.logs), [])
  assert.deepEqual(events(done.previous_logs), [
    'first',
    'second',
    'third',
    'attempt failed, the task will be tried again',
  ])
})

test('many lines of a run are few statements, and are cut at a thousand', async t => {
  const { actor, contexts, release } = speaking()
  t.after(() => release.resolve())
  const { tasks, db, database } = await start(t, [actor], { beatMs: 600_000 })
  const { id } = await tasks.enqueue(db, 'speak', {})
  await eventually(() => contexts.length === 1)
  const count = async () => (await db.rows(sql`select 1 from task_logs where task_id = ${id}`)).length
  const statements = await database.countStatements(async () => {
    for (let n = 0; n < 5000; n++) contexts[0]!.log.info('line', { n })
    await eventually(async () => (await count()) === 1001)
  })
  const writes = statements.filter(text => /insert into "public"\."task_logs"/.test(text))
  assert.ok(writes.length <= 3, `${writes.length} statements`)
  const last = await db.rows(
    sql<{ event: string }>`select event from task_logs where task_id = ${id} order by seq desc limit 2`,
  )
  assert.deepEqual(last, [{ event: 'further lines were not kept' }, { event: 'line' }])
  release.resolve()
  await eventually(
    async () => (await db.rows(sql`select 1 from task_runs where task_id = ${id}`)).length === 1,
  )
  assert.equal(await count(), 1001)
})

test('lines of a run whose claim was lost are kept as those of an earlier attempt', async t => {
  const { actor, contexts, release } = speaking()
  t.after(() => release.resolve())
  const { tasks, db } = await start(t, [actor])
  const { id } = await tasks.enqueue(db, 'speak', {})
  await eventually(() => contexts.length === 1)
  contexts[0]!.log.info('before the loss')
  await eventually(
    async () => (await db.rows(sql`select 1 from task_logs where task_id = ${id}`)).length === 1,
  )
  // As the supervisor does with a worker that is silent.
  await db.rows(sql`update pgboss.job set state = 'retry', start_after = now() where id = ${id}`)
  await eventually(() => contexts.length === 2)
  assert.equal(contexts[0]!.signal.aborted, true)
  await eventually(
    async () => (await db.rows(sql`select 1 from task_runs where task_id = ${id}`)).length === 1,
  )
  const lines = await db.rows(sql<{ event: string }>`select event from task_logs where task_id = ${id}`)
  assert.ok(lines.some(line => line.event === 'before the loss'))
})
