// One that waits stands for all that ask for the same; one runs at a time.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from 'prom-client'
import Type from 'typebox'
import { silentLog } from '../../src/log.ts'
import { sql } from '../../src/pg/db.ts'
import { defineActor } from '../../src/pg/tasks/actor.ts'
import { registerTaskMetrics } from '../../src/pg/tasks/metrics.ts'
import { eventually } from '../pg/eventually.ts'
import { noting, runsOf, start } from './engine.ts'

const Nothing = Type.Object({})
const changes = 10_000

test('ten thousand changes are at most one waiting and one running task, and the last is seen', async t => {
  let value = 0
  let seen = 0
  let now = 0
  let most = 0
  let runs = 0
  const refresh = defineActor({
    name: 'refresh',
    description: 'Refreshes.',
    payload: Nothing,
    run: async () => {
      most = Math.max(most, ++now)
      runs++
      await sleep(20)
      seen = value
      now--
    },
  })
  const { tasks, db, database } = await start(t, [refresh])
  await start(t, [refresh], { database, name: 'second' })
  let deepest = 0
  let watching = true
  const watch = (async () => {
    while (watching) {
      const row = await database.db.first(sql<{ waiting: number; running: number }>`
        select count(*) filter (where state < 'active')::int as waiting, count(*) filter (where state = 'active')::int as running
        from pgboss.job where data ? 'actor'`)
      deepest = Math.max(deepest, row!.waiting)
      most = Math.max(most, row!.running)
      await sleep(10)
    }
  })()
  let filed = 0
  const began = performance.now()
  const enqueue = async () => {
    while (value < changes) {
      value++
      const { deduplicated } = await tasks.enqueue(db, 'refresh', {}, { dedupe: 'one', delayMs: 200 })
      if (!deduplicated) filed++
    }
  }
  await Promise.all([enqueue(), enqueue(), enqueue(), enqueue()])
  // The one before the last may have seen the last value as well.
  await eventually(() => seen === changes && now === 0 && runs === filed)
  watching = false
  await watch
  t.diagnostic(`${filed} tasks filed, ${runs} runs`)
  assert.equal(most, 1)
  assert.equal(deepest, 1)
  // One that waits does so for 200 ms at least.
  assert.ok(filed <= (performance.now() - began) / 200 + 1, `${filed} tasks`)
  const registry = new Registry()
  registerTaskMetrics(registry, db, { version: '0', log: silentLog })
  await tasks.close()
  const text = await registry.metrics()
  const labels = '{queue_name="default",actor_name="refresh",cluster="true"}'
  for (const name of ['tasks_deduplicated_total', 'authentik_tasks_deduplicated_total'])
    assert.ok(text.includes(`\n${name}${labels} ${changes - filed}\n`), `${changes - filed} in ${text}`)
})

test('of a key one runs at a time, whatever waits for its next attempt', async t => {
  let now = 0
  let most = 0
  let failing = true
  const texts: string[] = []
  const actor = defineActor({
    name: 'refresh',
    description: 'Refreshes.',
    payload: Type.Object({ text: Type.String() }),
    backoffSeconds: 0.2,
    run: async ({ payload }) => {
      most = Math.max(most, ++now)
      await sleep(100)
      now--
      if (failing) throw new Error('not now')
      texts.push(payload.text)
    },
  })
  const { tasks, db, database } = await start(t, [actor], { pollMs: 100 })
  await start(t, [actor], { database, name: 'second', pollMs: 100 })
  const first = await tasks.enqueue(db, 'refresh', { text: 'first' }, { dedupe: 'x' })
  await eventually(() => now === 1)
  // Filed while the first runs; when that fails it does the work of the next attempt.
  const second = await tasks.enqueue(db, 'refresh', { text: 'second' }, { dedupe: 'x', delayMs: 600_000 })
  assert.equal(second.deduplicated, false)
  await eventually(async () => (await runsOf(database, first.id)).length === 1)
  const [folded] = await runsOf(database, first.id)
  assert.deepEqual([folded?.final, folded?.state, folded?.error], [true, 'rejected', 'not now'])
  const lines = await db.rows(
    sql<{ event: string; to: string }>`
      select event, attributes ->> 'task' as to from task_logs where task_id = ${first.id} order by seq desc limit 1`,
  )
  assert.deepEqual(lines, [{ event: 'a task that waits does the work of the next attempt', to: second.id }])
  await eventually(async () => (await runsOf(database, second.id)).length >= 1)
  const [run] = await runsOf(database, second.id)
  assert.equal(run?.attempt, 2)
  failing = false
  await eventually(() => texts.length === 1)
  assert.deepEqual(texts, ['second'])
  assert.equal(most, 1)
})

test('one that waits for its next attempt is found as well, and starts when the new one would have', async t => {
  let failing = true
  const attempts: number[] = []
  const actor = defineActor({
    name: 'refresh',
    description: 'Refreshes.',
    payload: Nothing,
    backoffSeconds: 600,
    run: async ({ attempt }) => {
      attempts.push(attempt)
      if (failing) throw new Error('not now')
    },
  })
  const { tasks, db, database } = await start(t, [actor])
  const first = await tasks.enqueue(db, 'refresh', {}, { dedupe: 'x' })
  await eventually(async () => (await runsOf(database, first.id)).length === 1)
  failing = false
  const again = await tasks.enqueue(db, 'refresh', {}, { dedupe: 'x', delayMs: 200 })
  assert.deepEqual(again, { id: first.id, deduplicated: true })
  await eventually(() => attempts.length === 2)
})

test('two of a key that wait are taken one after the other, also from one claim', async t => {
  const { actor, seen } = noting()
  const database = (await start(t, [actor], { role: 'enqueue', name: 'sender' })).database
  const sender = await start(t, [actor], { database, role: 'enqueue' })
  const { id } = await sender.tasks.enqueue(sender.db, 'note', { text: 'lost' }, { dedupe: 'x' })
  // As the supervisor leaves it when its worker was killed.
  await sender.db.rows(
    sql`update pgboss.job set state = 'retry', started_on = now(), singleton_key = 'other' where id = ${id}`,
  )
  await sender.tasks.enqueue(sender.db, 'note', { text: 'new' }, { dedupe: 'x' })
  await sender.db.rows(sql`update pgboss.job set singleton_key = 'note/x' where id = ${id}`)
  await Promise.all([
    start(t, [actor], { database, name: 'one' }),
    start(t, [actor], { database, name: 'two' }),
  ])
  await eventually(() => seen.length === 2)
  await eventually(
    async () => (await database.db.rows(sql`select 1 from task_runs where final`)).length === 2,
  )
  assert.deepEqual(seen.map(one => one.text).sort(), ['lost', 'new'])
})
