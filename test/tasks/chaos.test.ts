// Workers as real processes, killed and stopped; the rows tell what happened.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import Type from 'typebox'
import { silentLog } from '../../src/log.ts'
import { sql } from '../../src/pg/db.ts'
import { startEmbeddedPostgres } from '../../src/pg/embedded.ts'
import { migrate } from '../../src/pg/migrate.ts'
import { loadMigrations } from '../../src/pg/migrations.ts'
import { defineActor } from '../../src/pg/tasks/actor.ts'
import { eventually } from '../pg/eventually.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { noting, runsOf, start } from './engine.ts'
import { startTaskProcess } from './process.ts'

const Text = Type.Object({ text: Type.String() })
/** Known to the sender, run by the processes. */
const hold = defineActor({ name: 'hold', description: 'Holds.', payload: Text, run: async () => {} })

async function marked(t: TestContext): Promise<TestDatabase> {
  const database = await testDatabase(t)
  await database.db.rows(
    sql`create table marks (id int generated always as identity, worker text, what text, at timestamptz default clock_timestamp())`,
  )
  return database
}

async function marks(database: TestDatabase): Promise<string[]> {
  const rows = await database.db.rows(
    sql<{ worker: string; what: string }>`select worker, what from marks where what <> 'tick' order by id`,
  )
  return rows.map(row => `${row.worker}: ${row.what}`)
}

async function spawnWorker(
  t: TestContext,
  database: TestDatabase,
  options: { name: string; hold?: boolean; shutdownMs?: number },
) {
  const child = spawn(
    process.execPath,
    [
      join(import.meta.dirname, 'worker-process.ts'),
      JSON.stringify({ target: database.target(), ...options }),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  await once(child.stdout as NonNullable<ChildProcess['stdout']>, 'data')
  return child
}

test('a task whose worker is killed is run by another one, and by one only', async t => {
  const database = await marked(t)
  const sender = await start(t, [hold], { database, role: 'enqueue' })
  const doomed = await spawnWorker(t, database, { name: 'doomed', hold: true })
  const { id } = await sender.tasks.enqueue(sender.db, 'hold', { text: 'x' })
  await eventually(async () => (await marks(database)).length === 1)
  await spawnWorker(t, database, { name: 'other' })
  const killedAt = performance.now()
  doomed.kill('SIGKILL')
  await eventually(async () => (await runsOf(database, id)).length === 1, 60_000)
  // Heartbeat of 10 s and a look every second here; 20 s and every 15 s in production, which keeps it below 75 s.
  assert.ok(performance.now() - killedAt < 45_000)
  assert.deepEqual(await marks(database), ['doomed: begin x 1', 'other: begin x 2', 'other: end x 2'])
  const [run] = await runsOf(database, id)
  assert.deepEqual([run?.attempt, run?.final, run?.status, run?.after_loss], [2, true, 'warning', true])
})

test('a worker that is stopped waits for what runs', async t => {
  const database = await marked(t)
  const release = Promise.withResolvers<void>()
  const slow = defineActor({
    name: 'slow_one',
    description: 'Takes its time.',
    payload: Type.Object({}),
    run: () => release.promise,
  })
  const running = await startTaskProcess(database.target, [slow])
  const { id } = await running.tasks.enqueue(running.db, 'slow_one', {})
  await eventually(
    async () =>
      (await database.db.rows(sql`select 1 from tasks where id = ${id} and state = 'running'`)).length === 1,
  )
  const closed = running.close()
  await running.tasks.enqueue(database.db, 'slow_one', {})
  release.resolve()
  await closed
  assert.equal((await runsOf(database, id))[0]?.state, 'done')
  const waiting = await database.db.rows(sql`select state from tasks where last_run is null`)
  assert.deepEqual(waiting, [{ state: 'queued' }])
})

test('what a stopped worker cannot finish is handed to another one at once, and costs no attempt', async t => {
  const database = await marked(t)
  const sender = await start(t, [hold], { database, role: 'enqueue' })
  const first = await spawnWorker(t, database, { name: 'first', hold: true, shutdownMs: 0 })
  const { id } = await sender.tasks.enqueue(sender.db, 'hold', { text: 'x' })
  await eventually(async () => (await marks(database)).length === 1)
  await spawnWorker(t, database, { name: 'second' })
  first.kill('SIGTERM')
  const [code] = await once(first, 'exit')
  assert.equal(code, 0)
  await eventually(async () => (await runsOf(database, id)).length === 1, 5000)
  assert.deepEqual(await marks(database), ['first: begin x 1', 'second: begin x 1', 'second: end x 1'])
})

test('the clock of schedules passes on when the process that holds it is killed', async t => {
  const database = await marked(t)
  const doomed = await spawnWorker(t, database, { name: 'doomed' })
  const ticks = () =>
    database.db.rows(sql<{ worker: string }>`select worker from marks where what = 'tick' order by id`)
  const holder = () =>
    database.db.first(sql<{ node: string }>`
      select node from leases where key = 'task.scheduler' and expires_at > now()`)
  await eventually(async () => (await holder()) !== undefined)
  const first = (await holder())!.node
  await spawnWorker(t, database, { name: 'other' })
  await database.db.rows(sql`update task_schedules set next_run_at = now() + interval '1 day'`)
  doomed.kill('SIGKILL')
  await once(doomed, 'exit')
  await database.db.rows(sql`delete from marks`)
  await database.db.rows(sql`update task_schedules set next_run_at = now()`)
  const began = performance.now()
  // A lease of 30 s, and what a busy machine needs.
  await eventually(async () => (await ticks()).length > 0, 90_000)
  t.diagnostic(`after ${Math.round(performance.now() - began)} ms`)
  assert.equal((await ticks())[0]?.worker, 'other')
  assert.notEqual((await holder())?.node, first)
})

test('losing every connection in the middle of tasks loses none and repeats none', async t => {
  const gate = Promise.withResolvers<void>()
  const seen: string[] = []
  const waiting = defineActor({
    name: 'waiting',
    description: 'Waits.',
    payload: Text,
    run: async ({ payload }) => {
      await gate.promise
      seen.push(payload.text)
    },
  })
  const { tasks, db, database } = await start(t, [waiting], { pollMs: 200 })
  for (const text of ['a', 'b', 'c']) await tasks.enqueue(db, 'waiting', { text })
  const running = () => database.db.rows(sql`select 1 from tasks where state = 'running'`)
  await eventually(async () => (await running()).length === 3)
  await database.db.rows(
    sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
  )
  gate.resolve()
  await eventually(
    async () => (await database.db.rows(sql`select 1 from task_runs where final`)).length === 3,
  )
  await tasks.enqueue(db, 'waiting', { text: 'd' })
  await eventually(() => seen.length === 4)
  assert.deepEqual(seen.sort(), ['a', 'b', 'c', 'd'])
})

test('a task that ends while PostgreSQL restarts is not run again', async t => {
  const dataDir = await mkdtemp(join(tmpdir(), 'postern-tasks-'))
  const settings = { fsync: 'off' }
  let server = await startEmbeddedPostgres({ dataDir, log: silentLog, settings, endWithUs: true })
  const closings: (() => Promise<void>)[] = []
  t.after(async () => {
    for (const close of closings) await close()
    await server.destroy()
    await rm(dataDir, { recursive: true, force: true })
  })
  const target = () => server.target
  await migrate({
    target: target(),
    schema: 'public',
    migrations: await loadMigrations(join(import.meta.dirname, '../../migrations')),
    appVersion: 'test',
    log: silentLog,
    mode: 'apply',
  })
  const gate = Promise.withResolvers<void>()
  const texts: string[] = []
  const waiting = defineActor({
    name: 'waiting',
    description: 'Waits.',
    payload: Text,
    run: async ({ payload }) => {
      texts.push(payload.text)
      await gate.promise
    },
  })
  const { actor: note, seen } = noting()
  const running = await startTaskProcess(target, [waiting, note], { pollMs: 300 })
  closings.push(running.close)
  await running.tasks.enqueue(running.db, 'waiting', { text: 'x' })
  await eventually(() => texts.length === 1)
  await server.stop()
  gate.resolve()
  await sleep(300)
  server = await startEmbeddedPostgres({ dataDir, log: silentLog, settings, endWithUs: true })
  const ended = () =>
    running.db
      .rows(sql<{ attempt: number; state: string }>`select attempt, state from task_runs`)
      .catch(() => [])
  await eventually(async () => (await ended()).length === 1, 20_000)
  assert.deepEqual(await ended(), [{ attempt: 1, state: 'done' }])
  await running.tasks.enqueue(running.db, 'note', { text: 'after' })
  await eventually(() => seen.length === 1)
  assert.deepEqual(texts, ['x'])
})
