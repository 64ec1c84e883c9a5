// The task that follows changes of an outpost: one waits, one runs, however many changes there are.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createOutpost } from '../../src/core/outposts/account.ts'
import { outpostsChanged, outpostUpdateMessage } from '../../src/core/outposts/changed.ts'
import { followOutpostChanges } from '../../src/core/tasks/outpost-updates.ts'
import { coreActors } from '../../src/core/tasks.ts'
import { silentLog } from '../../src/log.ts'
import { sql } from '../../src/pg/db.ts'
import { bareCore } from '../core/bare-core.ts'
import { eventually } from '../pg/eventually.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { startTaskProcess, type TaskProcess } from './process.ts'

function worker(database: TestDatabase, name: string): Promise<TaskProcess> {
  return startTaskProcess(database.target, coreActors(bareCore(database.db), name), { name })
}

test('10,000 changes of an outpost are one task that waits and at most one that runs, and the last is seen', async t => {
  const database = await testDatabase(t)
  const { db } = database
  const workers = await Promise.all([worker(database, 'one'), worker(database, 'two')])
  const following = workers.map(one =>
    followOutpostChanges({ ...one, log: silentLog, enqueue: one.tasks.enqueue }),
  )
  t.after(async () => {
    for (const one of following) await one.close()
    for (const one of workers) await one.close()
  })
  const core = bareCore(db, { bus: workers[0]!.bus })
  const { id } = await db.transaction(tx =>
    createOutpost(tx, core, { name: 'edge', type: 'proxy', providers: [], config: {} }),
  )
  const most = { queued: 0, running: 0 }
  const look = async () => {
    const [row] = await db.rows(
      sql<typeof most>`
      select (count(*) filter (where state = 'queued'))::int as queued, (count(*) filter (where state = 'running'))::int as running
      from tasks where actor = 'outpost_send_update' and last_run is null`,
    )
    most.queued = Math.max(most.queued, row?.queued ?? 0)
    most.running = Math.max(most.running, row?.running ?? 0)
    return row ?? { queued: 0, running: 0 }
  }
  const began = performance.now()
  // One of a hundred is made in the database; of the others there is what the workers hear of a change.
  for (let batch = 0; batch < 100; batch++) {
    for (let change = 1; change < 100; change++)
      core.bus.publish(outpostUpdateMessage, { outpost: id, revision: batch * 100 + change })
    await db.transaction(tx => outpostsChanged(tx, core, { outposts: [id] }))
    await look()
  }
  const seconds = (performance.now() - began) / 1000
  const revision = Number(
    (await db.first(sql<{ revision: string }>`select revision from outposts where id = ${id}`))?.revision,
  )
  assert.ok(revision > 100)
  const runs = () =>
    db.rows(
      sql<{ result: { revision?: number }; error: string | null }>`
      select result, error from task_runs where actor = 'outpost_send_update' order by started_at`,
    )
  await eventually(async () => {
    await look()
    return (await runs()).some(({ result }) => result?.revision === revision)
  }, 60_000)
  await eventually(async () => (await look()).queued === 0, 60_000)
  const ended = await runs()
  t.diagnostic(
    `${ended.length} runs for 10,000 changes in ${seconds.toFixed(1)} s; most at once: ${JSON.stringify(most)}`,
  )
  assert.ok(most.queued <= 1, `${most.queued} waited`)
  assert.ok(most.running <= 1, `${most.running} ran`)
  // One for each two seconds of changing, the first and the last.
  assert.ok(ended.length <= 2 + seconds / 2 + 1, `${ended.length} runs in ${seconds} s`)
  assert.deepEqual(
    ended.filter(({ error }) => error !== null),
    [],
  )
})

test('the task repairs what somebody took from the account, and a deleted outpost is no error', async t => {
  const database = await testDatabase(t)
  const { db } = database
  const one = await worker(database, 'one')
  t.after(() => one.close())
  const core = bareCore(db)
  const { id, tokenIdentifier } = await db.transaction(tx =>
    createOutpost(tx, core, { name: 'edge', type: 'proxy', providers: [], config: {} }),
  )
  const run = async (outpost: string) => {
    const task = await one.tasks.enqueue(db, 'outpost_send_update', { outpost })
    const rows = () =>
      db.rows(
        sql<{
          result: unknown
          error: string | null
        }>`select result, error from task_runs where task_id = ${task.id}`,
      )
    await eventually(async () => (await rows()).length === 1, 30_000)
    return (await rows())[0]
  }
  await db.rows(sql`delete from tokens where identifier = ${tokenIdentifier}`)
  await db.rows(sql`delete from role_permissions where object_id = ${id}`)
  assert.deepEqual(await run(id), { result: { revision: 2, instances: 0 }, error: null })
  assert.equal((await db.rows(sql`select 1 from tokens where identifier = ${tokenIdentifier}`)).length, 1)
  assert.equal((await db.rows(sql`select 1 from role_permissions where object_id = ${id}`)).length, 1)
  assert.deepEqual(await run('00000000-0000-4000-8000-000000000000'), {
    result: { deleted: true },
    error: null,
  })
})
