// The API by the official client of the reference, so that the shapes are the real ones.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Configuration, type ResponseError, TasksApi } from '@goauthentik/api'
import Type from 'typebox'
import { sql } from '../../src/pg/db.ts'
import { defineActor } from '../../src/pg/tasks/actor.ts'
import { publishedSchema } from '../api/published-schema.ts'
import { eventually } from '../pg/eventually.ts'
import { startTaskCore } from './core.ts'

const Nothing = Type.Object({})

function actors() {
  const state = { broken: true, gate: Promise.withResolvers<void>(), swept: 0 }
  const list = [
    defineActor({
      name: 'sync',
      description: 'Synchronises one thing.',
      payload: Type.Object({ n: Type.Integer() }),
      retries: 1,
      backoffSeconds: 0.05,
      run: async ({ log, payload }) => {
        log.info('synchronising', { n: payload.n })
        if (state.broken) throw new Error('not reachable')
      },
    }),
    defineActor({
      name: 'long',
      description: 'Takes long.',
      payload: Nothing,
      run: async ({ progress }) => {
        progress(3, 10)
        await state.gate.promise
      },
    }),
    defineActor({
      name: 'sweep',
      description: 'Sweeps.',
      payload: Nothing,
      schedule: { crontab: '0 4 1 1 *', payload: {} },
      run: async () => {
        state.swept++
      },
    }),
  ]
  return { state, list }
}

function clientFor(origin: string, key: string): TasksApi {
  return new TasksApi(new Configuration({ basePath: `${origin}/api/v3`, accessToken: () => key }))
}

async function status(work: Promise<unknown>): Promise<number> {
  return await work.then(
    () => 200,
    error => (error as ResponseError).response.status,
  )
}

test('tasks are listed with state, log and earlier attempts, and run again', async t => {
  const { state, list } = actors()
  const { engine, origin, admin } = await startTaskCore(t, () => list)
  const api = clientFor(origin, admin)
  const object = { app: 'authentik_outposts', model: 'outpost', id: 'o-1' }
  const { id } = await engine.tasks.enqueue(engine.db, 'sync', { n: 7 }, { uid: 'seven', object })
  const get = () => api.tasksTasksRetrieve({ messageId: id })
  await eventually(async () => (await get()).state === 'rejected')
  const failed = await get()
  assert.equal(failed.actorName, 'sync')
  assert.equal(failed.queueName, 'default')
  assert.equal(failed.aggregatedStatus, 'error')
  assert.equal(failed.uid, 'sync:seven')
  assert.deepEqual(
    [failed.relObjAppLabel, failed.relObjModel, failed.relObjId],
    ['authentik_outposts', 'outpost', 'o-1'],
  )
  assert.equal(failed.description, 'Synchronises one thing.')
  assert.deepEqual(
    failed.logs.map(line => `${line.logLevel} ${line.event}`),
    ['info synchronising', 'error task failed'],
  )
  assert.equal(failed.logs[1]?.attributes.error, 'not reachable')
  assert.deepEqual(
    failed.previousLogs.map(line => `${line.logLevel} ${line.event}`),
    ['info synchronising', 'warning attempt failed, the task will be tried again'],
  )
  const summary = await api.tasksTasksStatusRetrieve()
  assert.equal(summary.error, 1)
  assert.equal(summary.queued, 0)

  state.broken = false
  await api.tasksTasksRetryCreate({ messageId: id })
  await eventually(async () => (await get()).state === 'done')
  const done = await get()
  assert.equal(done.aggregatedStatus, 'info')
  assert.equal(done.logs.length, 1)
  assert.equal(done.previousLogs.length, 4)
  const all = await api.tasksTasksList({
    actorName: 'sync',
    aggregatedStatus: ['info', 'warning'],
    search: 'seven',
  })
  assert.equal(all.pagination.count, 1)
  assert.equal(all.results[0]?.messageId, id)
  assert.equal(
    (await api.tasksTasksList({ relObjId: 'o-1', relObjContentTypeModel: 'outpost' })).pagination.count,
    1,
  )
  assert.equal((await api.tasksTasksList({ state: 'queued' })).pagination.count, 0)
  assert.equal((await api.tasksTasksList({ actorName: 'sync', relObjIdIsnull: true })).pagination.count, 0)
})

test('a running task shows how far it is, and is not started a second time', async t => {
  const { state, list } = actors()
  const { engine, origin, admin } = await startTaskCore(t, () => list)
  const api = clientFor(origin, admin)
  const { id } = await engine.tasks.enqueue(engine.db, 'long', {})
  const get = () => api.tasksTasksRetrieve({ messageId: id })
  await eventually(async () => (await get()).description === 'Takes long. (3 of 10)')
  assert.equal((await get()).state, 'running')
  assert.equal((await get()).aggregatedStatus, 'running')
  assert.equal(await status(api.tasksTasksRetryCreate({ messageId: id })), 400)
  state.gate.resolve()
  await eventually(async () => (await get()).state === 'done')
})

test('a task that waits for its next attempt says so', async t => {
  const { list } = actors()
  const { engine, origin, admin } = await startTaskCore(t, () =>
    list.map(actor => ({ ...actor, backoffSeconds: 600 })),
  )
  const api = clientFor(origin, admin)
  const { id } = await engine.tasks.enqueue(engine.db, 'sync', { n: 1 })
  const get = () => api.tasksTasksRetrieve({ messageId: id })
  await eventually(async () => (await get()).previousLogs.length === 2)
  const waiting = await get()
  assert.equal(waiting.state, 'queued')
  assert.ok((waiting.eta?.getTime() ?? 0) > Date.now() + 300_000)
  assert.equal((await api.tasksTasksStatusRetrieve()).queued, 1)
})

test('a schedule is shown, changed, paused and run now', async t => {
  const { state, list } = actors()
  const { database, origin, admin } = await startTaskCore(t, () => list)
  const api = clientFor(origin, admin)
  const [schedule, ...others] = (await api.tasksSchedulesList()).results
  assert.deepEqual(others, [])
  assert.equal(schedule?.actorName, 'sweep')
  assert.equal(schedule?.crontab, '0 4 1 1 *')
  assert.equal(schedule?.description, 'Sweeps.')
  assert.equal(schedule?.lastTaskStatus, null)
  const id = schedule!.id
  assert.deepEqual([schedule?.nextRun.getUTCMonth(), schedule?.nextRun.getUTCHours()], [0, 4])

  const clock = () =>
    database.db.rows(
      sql<{ at: string }>`
        select to_char(next_run_at at time zone 'UTC', 'MM-DD HH24:MI') as at from task_schedules where id = ${id} and not paused`,
    )
  const changed = await api.tasksSchedulesPartialUpdate({
    id,
    patchedScheduleRequest: { crontab: '30 5 1 1 *' },
  })
  assert.equal(changed.crontab, '30 5 1 1 *')
  assert.equal(changed.nextRun.getUTCMinutes(), 30)
  assert.deepEqual(await clock(), [{ at: '01-01 05:30' }])
  const refused = await api
    .tasksSchedulesUpdate({ id, scheduleRequest: { crontab: 'every day' } })
    .catch((error: ResponseError) => error.response)
  assert.ok(refused instanceof Response)
  assert.equal(refused.status, 400)
  assert.match(JSON.stringify(await refused.json()), /"crontab":\["a crontab has five fields/)
  const bad = api.tasksSchedulesUpdate({ id, scheduleRequest: { crontab: '99 * * * *' } })
  assert.equal(await status(bad), 400)

  const paused = await api.tasksSchedulesUpdate({
    id,
    scheduleRequest: { crontab: '30 5 1 1 *', paused: true },
  })
  assert.equal(paused.nextRun.getTime(), 0)
  assert.deepEqual(await clock(), [])
  await api.tasksSchedulesSendCreate({ id })
  await eventually(() => state.swept === 1)
  await eventually(async () => (await api.tasksSchedulesRetrieve({ id })).lastTaskStatus === 'done')
  assert.equal((await api.tasksSchedulesList({ paused: false })).pagination.count, 0)
  const events = await database.db.rows(
    sql<{
      action: string
    }>`select action from events where context #>> '{model,pk}' = ${id} order by created_at`,
  )
  assert.equal(events.length, 3)
})

test('workers are listed with their version', async t => {
  const { list } = actors()
  const { origin, admin, engine } = await startTaskCore(t, () => list)
  const workers = await clientFor(origin, admin).tasksWorkersList()
  assert.deepEqual(workers, [{ workerId: `worker@${engine.node.id}`, version: '0', versionMatching: false }])
})

test('each right is asked for, on the object too', async t => {
  const { state, list } = actors()
  t.after(() => state.gate.resolve())
  const { engine, origin, person } = await startTaskCore(t, () => list)
  const { id } = await engine.tasks.enqueue(engine.db, 'long', {}, { delayMs: 600_000 })
  const other = await engine.tasks.enqueue(engine.db, 'long', {}, { delayMs: 600_000 })
  const nobody = clientFor(origin, await person('nobody'))
  assert.equal((await nobody.tasksTasksList()).pagination.count, 0)
  assert.equal(await status(nobody.tasksTasksRetrieve({ messageId: id })), 404)
  assert.equal(await status(nobody.tasksTasksRetryCreate({ messageId: id })), 404)
  assert.equal(await status(nobody.tasksTasksStatusRetrieve()), 403)
  assert.equal(await status(nobody.tasksWorkersList()), 403)
  assert.equal((await nobody.tasksSchedulesList()).pagination.count, 0)

  const viewer = clientFor(
    origin,
    await person('viewer', [`authentik_tasks.view_task@${id}`, 'authentik_tasks_schedules.view_schedule']),
  )
  assert.deepEqual(
    (await viewer.tasksTasksList()).results.map(task => task.messageId),
    [id],
  )
  assert.equal(await status(viewer.tasksTasksRetrieve({ messageId: other.id })), 404)
  assert.equal(await status(viewer.tasksTasksRetryCreate({ messageId: id })), 403)
  const [schedule] = (await viewer.tasksSchedulesList()).results
  assert.equal(await status(viewer.tasksSchedulesSendCreate({ id: schedule!.id })), 403)
  const patch = { id: schedule!.id, patchedScheduleRequest: { paused: true } }
  assert.equal(await status(viewer.tasksSchedulesPartialUpdate(patch)), 403)

  const retrier = clientFor(
    origin,
    await person('retrier', ['authentik_tasks.view_task', `authentik_tasks.retry_task@${id}`]),
  )
  assert.equal(await status(retrier.tasksTasksRetryCreate({ messageId: other.id })), 403)
  assert.equal(await status(retrier.tasksTasksRetryCreate({ messageId: id })), 200)
  assert.equal(await status(clientFor(origin, 'wrong').tasksTasksList()), 403)
})

test('answers have every key of the published description, with values of its types', async t => {
  const { state, list } = actors()
  t.after(() => state.gate.resolve())
  const { engine, origin, admin } = await startTaskCore(t, () => list)
  const { id } = await engine.tasks.enqueue(engine.db, 'sync', { n: 1 })
  await engine.tasks.enqueue(engine.db, 'long', {}, { delayMs: 600_000 })
  await eventually(async () => (await engine.db.rows(sql`select 1 from task_runs where final`)).length === 1)
  const [schedule] = await engine.db.rows(sql<{ id: string }>`select id from task_schedules`)
  const published = await publishedSchema()
  const paths = [
    '/tasks/tasks/',
    `/tasks/tasks/${id}/`,
    '/tasks/tasks/status/',
    '/tasks/schedules/',
    `/tasks/schedules/${schedule?.id}/`,
    '/tasks/workers/',
  ]
  for (const path of paths) {
    const response = await fetch(`${origin}/api/v3${path}`, { headers: { authorization: `Bearer ${admin}` } })
    assert.equal(response.status, 200, path)
    assert.deepEqual(published.problems('GET', path, 200, await response.json()), [], path)
  }
})
