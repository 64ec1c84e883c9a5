import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from 'prom-client'
import Type from 'typebox'
import { silentLog } from '../../src/log.ts'
import { sql } from '../../src/pg/db.ts'
import { defineActor } from '../../src/pg/tasks/actor.ts'
import { registerTaskMetrics } from '../../src/pg/tasks/metrics.ts'
import { rollUp, totalFigures } from '../../src/pg/tasks/rollups.ts'
import { eventually } from '../pg/eventually.ts'
import { startTaskCore } from './core.ts'
import { noting, runsOf, start } from './engine.ts'

const Nothing = Type.Object({})

/** Runs until its signal, or for ever when it is deaf to it. */
function holding(name: string, options: { deaf?: boolean } = {}) {
  const release = Promise.withResolvers<string>()
  const began: string[] = []
  const actor = defineActor({
    name,
    description: 'Holds.',
    payload: Nothing,
    retries: 3,
    backoffSeconds: 0.05,
    run: async ({ id, signal }) => {
      began.push(id)
      if (options.deaf) return await release.promise
      await sleep(600_000, undefined, { signal })
    },
  })
  return { actor, began, release }
}

test('a waiting task is history at once when it is cancelled, and runs when it is asked for again', async t => {
  const { actor, seen } = noting()
  const { tasks, db, database } = await start(t, [actor])
  const { id } = await tasks.enqueue(db, 'note', { text: 'x' }, { delayMs: 600_000, uid: 'thing' })
  assert.equal(await db.transaction(tx => tasks.cancel(tx, id)), true)
  assert.equal(await db.transaction(tx => tasks.cancel(tx, id)), false)
  assert.deepEqual(await db.rows(sql`select state, status, uid from tasks where id = ${id}`), [
    { state: 'cancelled', status: 'cancelled', uid: 'thing' },
  ])
  assert.equal(seen.length, 0)
  assert.equal(await db.transaction(tx => tasks.retry(tx, id)), true)
  await eventually(async () => (await runsOf(database, id)).length === 2)
  await eventually(() => seen.length === 1)
})

test('a cancel that is rolled back never was', async t => {
  const { actor } = noting()
  const { tasks, db } = await start(t, [actor], { role: 'enqueue' })
  const { id } = await tasks.enqueue(db, 'note', { text: 'x' }, { delayMs: 600_000 })
  await assert.rejects(
    db.transaction(async tx => {
      assert.equal(await tasks.cancel(tx, id), true)
      throw new Error('no')
    }),
    /^Error: no$/,
  )
  assert.deepEqual(await db.rows(sql`select state from tasks where id = ${id}`), [{ state: 'queued' }])
})

test('a running task is told to end, is not tried again, and says that it was cancelled', async t => {
  const { actor, began } = holding('held')
  const { tasks, db, database } = await start(t, [actor], { beatMs: 600_000 })
  const sender = await start(t, [actor], { database, role: 'enqueue', name: 'server' })
  const { id } = await tasks.enqueue(db, 'held', {})
  await eventually(() => began.length === 1)
  assert.equal(await sender.db.transaction(tx => sender.tasks.cancel(tx, id)), true)
  await eventually(async () => (await runsOf(database, id)).length === 1)
  const [run] = await runsOf(database, id)
  assert.deepEqual(
    [run?.state, run?.status, run?.final, run?.error],
    ['cancelled', 'cancelled', true, 'cancelled'],
  )
  assert.equal(began.length, 1)
  const lines = await db.rows(sql<{ event: string }>`select event from task_logs where task_id = ${id}`)
  assert.deepEqual(lines, [{ event: 'task cancelled' }])
})

test('a cancel whose message is lost is read with the next beat', async t => {
  const { actor, began } = holding('held')
  const { tasks, db, database } = await start(t, [actor], { beatMs: 300 })
  const sender = await start(t, [actor], { database, role: 'enqueue', name: 'server' })
  await sender.bus.close()
  const { id } = await tasks.enqueue(db, 'held', {})
  await eventually(() => began.length === 1)
  await sender.db.transaction(tx => sender.tasks.cancel(tx, id))
  await eventually(async () => (await runsOf(database, id))[0]?.state === 'cancelled')
})

test('a task whose worker was lost after the cancel is not begun by the next', async t => {
  const { actor, began } = holding('held')
  const { tasks, db, database } = await start(t, [actor], { role: 'enqueue' })
  const { id } = await tasks.enqueue(db, 'held', {})
  // As a worker leaves it that was killed.
  await db.rows(sql`
    update pgboss.job set state = 'active', started_on = now() - interval '1 hour', heartbeat_on = now() - interval '1 hour'
    where id = ${id}`)
  assert.equal(await db.transaction(tx => tasks.cancel(tx, id)), true)
  await start(t, [actor], { database, name: 'other' })
  await eventually(async () => (await runsOf(database, id))[0]?.state === 'cancelled')
  assert.deepEqual(began, [])
})

test('one that does not end is left behind: its slot is free, what it returns counts no more, and it is counted', async t => {
  const { actor, began, release } = holding('deaf', { deaf: true })
  const { actor: note, seen } = noting()
  const { tasks, db, database } = await start(t, [actor, note], { concurrency: { default: 1 }, graceMs: 100 })
  t.after(() => release.resolve('late'))
  const { id } = await tasks.enqueue(db, 'deaf', {})
  await eventually(() => began.length === 1)
  await tasks.enqueue(db, 'note', { text: 'next' })
  await db.transaction(tx => tasks.cancel(tx, id))
  await eventually(() => seen.length === 1)
  await eventually(async () => (await runsOf(database, id)).length === 1)
  const before = await runsOf(database, id)
  release.resolve('late')
  await tasks.enqueue(db, 'note', { text: 'after' })
  await eventually(() => seen.length === 2)
  assert.deepEqual(await runsOf(database, id), before)
  assert.deepEqual([before[0]?.state, before[0]?.result], ['cancelled', null])
  const figures = async () => {
    const found = (await totalFigures(db)).find(row => row.actor === 'deaf')
    return [found?.cancelled, found?.abandoned, found?.errors, found?.runs]
  }
  assert.deepEqual(await figures(), [1, 1, 0, 1])
  await db.rows(
    sql`update task_runs set finished_at = finished_at - interval '5 minutes' where finished_at > date_trunc('day', now()) + interval '6 minutes'`,
  )
  await db.rows(
    sql`update task_rollup_state set rolled_until = date_trunc('minute', now() - interval '20 minutes')`,
  )
  await rollUp(db)
  assert.deepEqual(await figures(), [1, 1, 0, 1])
  const registry = new Registry()
  registerTaskMetrics(registry, db, { version: '0', log: silentLog })
  const text = await registry.metrics()
  const labels = '{queue_name="default",actor_name="deaf",cluster="true"}'
  for (const name of ['tasks_cancelled_total', 'tasks_abandoned_total', 'authentik_tasks_cancelled_total'])
    assert.ok(text.includes(`\n${name}${labels} 1\n`), `${name} in ${text}`)
})

test('cancelling over the API asks for its permission, leaves an event, and is refused for what has ended', async t => {
  const { actor, began } = holding('held')
  const { engine, database, origin, admin, person } = await startTaskCore(t, () => [actor])
  const { id } = await engine.tasks.enqueue(engine.db, 'held', {})
  const waiting = await engine.tasks.enqueue(engine.db, 'held', {}, { delayMs: 600_000 })
  await eventually(() => began.length === 1)
  const cancel = async (key: string, task: string) => {
    const url = `${origin}/api/v3/tasks/tasks/${task}/cancel/`
    const response = await fetch(url, { method: 'POST', headers: { authorization: `Bearer ${key}` } })
    await response.body?.cancel()
    return response.status
  }
  const state = async (task: string) => {
    const url = `${origin}/api/v3/tasks/tasks/${task}/`
    const response = await fetch(url, { headers: { authorization: `Bearer ${admin}` } })
    const { state, aggregated_status } = (await response.json()) as Record<string, string>
    return [state, aggregated_status]
  }
  assert.equal(await cancel(await person('nobody'), id), 404)
  assert.equal(await cancel(await person('viewer', ['authentik_tasks.view_task']), id), 403)
  assert.equal(
    await cancel(await person('retrier', ['authentik_tasks.view_task', 'authentik_tasks.retry_task']), id),
    403,
  )
  const canceller = await person('canceller', [
    'authentik_tasks.view_task',
    `authentik_tasks.cancel_task@${id}`,
  ])
  assert.equal(await cancel(canceller, waiting.id), 403)
  assert.equal(await cancel(canceller, id), 204)
  // The bus of this process is silent: the beat brings it.
  await eventually(async () => (await state(id))[0] === 'cancelled')
  assert.deepEqual(await state(id), ['cancelled', 'cancelled'])
  assert.equal(await cancel(canceller, id), 400)
  assert.equal(await cancel(admin, waiting.id), 204)
  assert.deepEqual(await state(waiting.id), ['cancelled', 'cancelled'])
  const events = await database.db.rows(
    sql`
      select 1 from events
      where action = 'model_updated' and context #>> '{model,pk}' = any(${[id, waiting.id]}::text[]) order by created_at`,
  )
  assert.equal(events.length, 2)
  const counts = await fetch(`${origin}/api/v3/tasks/tasks/status/`, {
    headers: { authorization: `Bearer ${admin}` },
  })
  assert.equal(((await counts.json()) as Record<string, number>).cancelled, 2)
})
