// What a worker with nothing to do costs, with the settings of production and every task of Core.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createSecrets } from '../../src/core/secrets.ts'
import { coreActors } from '../../src/core/tasks.ts'
import { silentLog } from '../../src/log.ts'
import { sql } from '../../src/pg/db.ts'
import { eventually } from '../pg/eventually.ts'
import { testDatabase } from '../postgres.ts'
import { startTaskProcess } from './process.ts'

const seconds = 30

test('an idle worker sends fewer than two statements a second, and a task is put in without a notification', async t => {
  const database = await testDatabase(t)
  const { db } = database
  const bus = {
    publish() {},
    subscribe: () => () => {},
    onResync: () => () => {},
    healthy: () => true,
    close: async () => {},
  }
  const core = { db, bus, log: silentLog, secrets: createSecrets('a test key that is long enough for it') }
  const worker = await startTaskProcess(database.target, coreActors(core, 'worker'), {
    timers: { superviseSeconds: 15 },
    beatMs: 5000,
    heartbeatSeconds: 20,
  })
  t.after(() => worker.close())
  await eventually(
    async () => (await db.rows(sql`select 1 from leases where key = 'task.scheduler'`)).length === 1,
  )
  // Idle: what runs by itself costs what it does, and whether a minute's worth of it falls into the time is chance.
  await db.rows(sql`update task_schedules set next_run_at = now() + interval '1 hour'`)
  await eventually(async () => (await db.rows(sql`select 1 from tasks where last_run is null`)).length === 0)
  // A rate needs its time.
  const statements = await database.countStatements(() => sleep(seconds * 1000))
  assert.ok(statements.length > 0)
  assert.ok(statements.length / seconds < 2, `${statements.length} statements in ${seconds} s`)
  t.diagnostic(`${(statements.length / seconds).toFixed(2)} statements/s`)
  const enqueued = await database.countStatements(() =>
    worker.db.transaction(tx => worker.tasks.enqueue(tx, 'task_history', {}, { delayMs: 600_000 })),
  )
  const inserts = enqueued.filter(text => /^\s*insert into pgboss\./i.test(text))
  assert.equal(inserts.length, 1)
  assert.doesNotMatch(inserts[0] ?? '', /notify/i)
})
