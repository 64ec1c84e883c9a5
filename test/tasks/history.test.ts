// History, figures and metrics: what is kept of runs, for how long, and how it is counted.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import Type from 'typebox'
import { silentLog } from '../../src/log.ts'
import { sql } from '../../src/pg/db.ts'
import { defineActor } from '../../src/pg/tasks/actor.ts'
import { registerTaskMetrics } from '../../src/pg/tasks/metrics.ts'
import { dropOldPartitions, ensurePartitions } from '../../src/pg/tasks/partitions.ts'
import { collectLost, rollUp, totalFigures } from '../../src/pg/tasks/rollups.ts'
import { eventually } from '../pg/eventually.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { noting, start } from './engine.ts'

const dayMs = 86_400_000

async function partitions(database: TestDatabase, table: string): Promise<string[]> {
  const rows = await database.db.rows(
    sql<{ name: string }>`
      select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = ${table}::regclass order by 1`,
  )
  return rows.map(row => row.name)
}

test('days are made ahead once, and dropped whole when their time is over', async t => {
  const database = await testDatabase(t)
  const now = new Date('2026-03-01T12:00:00Z')
  const made = await Promise.all([ensurePartitions(database.db, now), ensurePartitions(database.db, now)])
  assert.equal(made.flat().length, 15)
  assert.deepEqual(await partitions(database, 'task_runs'), [
    'task_runs_20260228',
    'task_runs_20260301',
    'task_runs_20260302',
    'task_runs_20260303',
    'task_runs_20260304',
  ])
  assert.deepEqual(await ensurePartitions(database.db, now), [])
  assert.deepEqual(await dropOldPartitions(database.db, new Date(now.getTime() + 29 * dayMs)), [])
  const later = new Date(now.getTime() + 30 * dayMs)
  assert.deepEqual((await dropOldPartitions(database.db, later)).sort(), [
    'task_logs_20260228',
    'task_runs_20260228',
  ])
  assert.equal((await partitions(database, 'task_rollups')).length, 5)
  const muchLater = new Date(now.getTime() + 100 * dayMs)
  await dropOldPartitions(database.db, muchLater)
  assert.deepEqual(await partitions(database, 'task_rollups'), [])
})

test('a run finds its day even when nobody made it ahead', async t => {
  const { actor } = noting()
  const { tasks, db, database } = await start(t, [actor])
  for (const table of ['task_runs', 'task_logs']) {
    for (const name of await partitions(database, table)) await db.rows(sql`drop table ${sql.id(name)}`)
  }
  const { id } = await tasks.enqueue(db, 'note', { text: 'x' })
  await eventually(
    async () => (await db.rows(sql`select 1 from task_runs where task_id = ${id}`)).length === 1,
  )
})

/** Runs as they would have been written; `at` minutes ago. */
async function insertRun(
  database: TestDatabase,
  run: { minutesAgo: number; ms: number; error?: string; final?: boolean; afterLoss?: boolean },
) {
  await database.db.rows(sql`
    insert into task_runs (finished_at, id, task_id, queue, actor, payload, attempt, final, state, status, after_loss, error, node,
      created_at, started_at, duration_ms)
    values (now() - ${run.minutesAgo} * interval '1 minute', gen_random_uuid(), gen_random_uuid(), 'default', 'sync', '{}', 1,
      ${run.final ?? true}, ${run.error === undefined ? 'done' : 'rejected'}, 'done', ${run.afterLoss ?? false}, ${run.error ?? null},
      'n', now(), now(), ${run.ms})`)
}

test('each run is counted once, rolled up or not', async t => {
  const database = await testDatabase(t)
  await ensurePartitions(database.db)
  await database.db.rows(
    sql`update task_rollup_state set rolled_until = date_trunc('minute', now() - interval '20 minutes')`,
  )
  await insertRun(database, { minutesAgo: 10, ms: 3 })
  await insertRun(database, { minutesAgo: 10, ms: 40, error: 'x', final: false })
  await insertRun(database, { minutesAgo: 5, ms: 7000, error: 'x', afterLoss: true })
  await insertRun(database, { minutesAgo: 0, ms: 9_999_999 })
  const before = await totalFigures(database.db)
  assert.equal(await rollUp(database.db), true)
  assert.equal(await rollUp(database.db), false)
  const after = await totalFigures(database.db)
  assert.deepEqual(after, before)
  const [sync] = after
  assert.deepEqual(
    { ...sync, histogram: undefined },
    {
      queue: 'default',
      actor: 'sync',
      runs: 4,
      errors: 2,
      retries: 1,
      rejected: 1,
      lost: 1,
      cancelled: 0,
      abandoned: 0,
      deduplicated: 0,
      sum_ms: 10_007_042,
      histogram: undefined,
    },
  )
  assert.deepEqual(sync?.histogram, [1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1])
  const minutes = await database.db.rows(sql<{ runs: string }>`select runs from task_rollups order by minute`)
  assert.deepEqual(
    minutes.map(row => Number(row.runs)),
    [2, 1],
  )
  // Older days go, the counters stay.
  await database.db.rows(sql`truncate task_rollups`)
  await insertRun(database, { minutesAgo: 1, ms: 1 })
  assert.equal((await totalFigures(database.db))[0]?.runs, 5)
})

test('a task given up with its last worker becomes history', async t => {
  const { actor } = noting()
  const { tasks, db } = await start(t, [actor], { role: 'enqueue' })
  await ensurePartitions(db)
  const { id } = await tasks.enqueue(db, 'note', { text: 'x' }, { uid: 'thing' })
  await db.rows(sql`
    update pgboss.job set state = 'failed', started_on = now() - interval '1 minute', completed_on = now(), retry_count = 5,
      output = '{"value": {"message": "job heartbeat timeout"}}' where id = ${id}`)
  assert.deepEqual(await db.rows(sql`select state, status from tasks where id = ${id}`), [
    { state: 'rejected', status: 'error' },
  ])
  assert.equal(await collectLost(db, 'n'), 1)
  assert.equal(await collectLost(db, 'n'), 0)
  assert.deepEqual(
    await db.rows(
      sql`select state, status, error, attempt, uid, after_loss, actor from task_runs where task_id = ${id}`,
    ),
    [
      {
        state: 'rejected',
        status: 'error',
        error: 'job heartbeat timeout',
        attempt: 6,
        uid: 'thing',
        after_loss: true,
        actor: 'note',
      },
    ],
  )
  assert.deepEqual(await db.rows(sql`select level, event from task_logs where task_id = ${id}`), [
    { level: 'error', event: 'the worker was lost, and this was the last attempt' },
  ])
})

test('any process tells the metrics, under both names', async t => {
  const { actor, seen } = noting()
  const failing = defineActor({
    name: 'failing',
    description: 'Fails.',
    payload: Type.Object({}),
    retries: 0,
    run: async () => {
      throw new Error('no')
    },
  })
  const { tasks, db, database } = await start(t, [actor, failing])
  await tasks.enqueue(db, 'note', { text: 'x' })
  await tasks.enqueue(db, 'failing', {})
  await tasks.enqueue(db, 'note', { text: 'later' }, { delayMs: 600_000 })
  await eventually(async () => (await db.rows(sql`select 1 from task_runs`)).length === 2)
  assert.equal(seen.length, 1)
  const scrapes = await Promise.all(
    [0, 1].map(async () => {
      const registry = new Registry()
      registerTaskMetrics(registry, database.db, { version: '0', log: silentLog })
      await registry.metrics()
      return await registry.metrics()
    }),
  )
  assert.equal(scrapes[0], scrapes[1])
  const text = scrapes[0] ?? ''
  const note = 'queue_name="default",actor_name="note",cluster="true"'
  for (const prefix of ['', 'authentik_']) {
    assert.ok(text.includes(`\n${prefix}tasks_total{${note}} 1\n`), text)
    assert.ok(
      text.includes(
        `\n${prefix}tasks_errors_total{queue_name="default",actor_name="failing",cluster="true"} 1\n`,
      ),
    )
    assert.ok(
      text.includes(
        `\n${prefix}tasks_rejected_total{queue_name="default",actor_name="failing",cluster="true"} 1\n`,
      ),
    )
    assert.ok(text.includes(`\n${prefix}tasks_queued{${note}} 1\n`))
    assert.ok(text.includes(`\n${prefix}tasks_delayed_in_progress{${note}} 1\n`))
    assert.ok(text.includes(`\n${prefix}tasks_deduplicated_total{${note}} 0\n`))
    assert.ok(
      text.includes(`\n${prefix}tasks_workers{version="0",version_matched="True",cluster="true"} 1\n`),
    )
  }
  assert.ok(text.includes(`tasks_duration_seconds_count{${note}} 1`))
  assert.ok(text.includes(`authentik_tasks_duration_milliseconds_bucket{${note},le="3600000"} 1`), text)
  assert.ok(text.includes('authentik_admin_workers{version="0",version_matched="True",cluster="true"} 1'))
})

test('scrapes within ten seconds share one look at the database', async t => {
  const database = await testDatabase(t)
  const registry = new Registry()
  registerTaskMetrics(registry, database.db, { version: '0', log: silentLog })
  const statements = await database.countStatements(async () => {
    for (let i = 0; i < 5; i++) await registry.metrics()
  })
  assert.equal(statements.length, 3)
})
