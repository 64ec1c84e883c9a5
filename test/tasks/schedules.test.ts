import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import Type from 'typebox'
import { sql } from '../../src/pg/db.ts'
import { type AnyActor, actorRegistry, defineActor, type Timetable } from '../../src/pg/tasks/actor.ts'
import { syncSchedules, updateSchedule } from '../../src/pg/tasks/schedules.ts'
import { nextTimes, ScheduleError } from '../../src/pg/tasks/timetable.ts'
import { eventually } from '../pg/eventually.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { start } from './engine.ts'

function scheduled(name: string, crontab: string, more: Omit<Timetable, 'crontab'> = {}): AnyActor {
  return defineActor({
    name,
    description: 'Runs by itself.',
    payload: Type.Object({}),
    schedule: { crontab, payload: {}, ...more },
    run: async () => {},
  })
}

interface Row {
  id: string
  actor: string
  crontab: string
  timezone: string
  paused: boolean
  next_run_at: Date
  last_run_at: Date | null
}

function schedules(database: TestDatabase): Promise<Row[]> {
  return database.db.rows(
    sql<Row>`select id, actor, crontab, timezone, paused, next_run_at, last_run_at from task_schedules order by actor`,
  )
}

const shown = (rows: Row[]) => rows.map(row => `${row.actor} ${row.crontab} ${row.timezone}`)

test('what an administrator chose survives a new version, what he did not follows it', async t => {
  const database = await testDatabase(t)
  const { db } = database
  const paris = { timezone: 'Europe/Paris' }
  await syncSchedules(db, actorRegistry([scheduled('a', '0 1 * * *'), scheduled('b', '0 2 * * *')]), '1')
  const [a] = await schedules(database)
  await db.transaction(tx => updateSchedule(tx, a!.id, { crontab: '0 9 * * *' }))
  const second = actorRegistry([scheduled('a', '0 3 * * *'), scheduled('b', '0 4 * * *', paris)])
  await syncSchedules(db, second, '2')
  const rows = await schedules(database)
  assert.deepEqual(shown(rows), ['a 0 9 * * * UTC', 'b 0 4 * * * Europe/Paris'])
  assert.deepEqual(
    rows.map(row => row.next_run_at),
    rows.map(row => nextTimes(row.crontab, row.timezone)[0]),
  )
})

test('a start changes nothing about when a schedule runs next', async t => {
  const database = await testDatabase(t)
  const actors = actorRegistry([scheduled('a', '0 1 * * *')])
  await syncSchedules(database.db, actors, '1')
  await database.db.rows(sql`update task_schedules set next_run_at = now() - interval '3 days'`)
  const before = await schedules(database)
  await syncSchedules(database.db, actors, '1')
  assert.deepEqual(await schedules(database), before)
})

test('a paused schedule stays paused over a restart, and makes nothing good when it goes on', async t => {
  const database = await testDatabase(t)
  const { db } = database
  const actors = actorRegistry([scheduled('a', '0 1 * * *')])
  await syncSchedules(db, actors, '1')
  const [row] = await schedules(database)
  await db.transaction(tx => updateSchedule(tx, row!.id, { paused: true }))
  await db.rows(sql`update task_schedules set next_run_at = now() - interval '3 days'`)
  await syncSchedules(db, actors, '1')
  assert.equal((await schedules(database))[0]?.paused, true)
  await db.transaction(tx => updateSchedule(tx, row!.id, { paused: false }))
  const [after] = await schedules(database)
  assert.equal(after?.paused, false)
  assert.ok((after?.next_run_at.getTime() ?? 0) > Date.now())
})

test('a crontab that cannot be read changes nothing', async t => {
  const database = await testDatabase(t)
  const { db } = database
  await syncSchedules(db, actorRegistry([scheduled('a', '0 1 * * *')]), '1')
  const before = await schedules(database)
  await assert.rejects(
    db.transaction(tx => updateSchedule(tx, before[0]!.id, { crontab: 'never' })),
    ScheduleError,
  )
  assert.deepEqual(await schedules(database), before)
})

test('schedules of actors that are gone go, but not while another version works', async t => {
  const database = await testDatabase(t)
  const { db } = database
  await syncSchedules(db, actorRegistry([scheduled('a', '0 1 * * *'), scheduled('b', '0 2 * * *')]), '2')
  await db.rows(
    sql`insert into nodes (id, name, kind, version) values (gen_random_uuid(), 'new', 'worker', '2')`,
  )
  await syncSchedules(db, actorRegistry([scheduled('a', '0 1 * * *')]), '1')
  assert.equal((await schedules(database)).length, 2)
  await db.rows(sql`delete from nodes`)
  await syncSchedules(db, actorRegistry([scheduled('a', '0 1 * * *')]), '1')
  assert.deepEqual(shown(await schedules(database)), ['a 0 1 * * * UTC'])
})

/** An actor that notes when it ran, with a clock that was told a time. */
async function clocked(t: TestContext, more: Omit<Timetable, 'crontab'> = {}) {
  const runs: number[] = []
  const actor: AnyActor = {
    ...scheduled('a', '0 0 1 1 *', more),
    run: async () => void runs.push(Date.now()),
  }
  const running = await start(t, [actor])
  const { db } = running
  const filedAt = async () => (await schedules(running.database))[0]?.last_run_at ?? null
  const move = async (interval: string) => {
    await db.rows(sql`update task_schedules set next_run_at = now() + ${interval}::interval`)
    running.bus.publish('task.schedules')
  }
  return { ...running, actor, runs, move, filedAt }
}

test('a schedule runs at its time, not at the next look', async t => {
  const { runs, move, database } = await clocked(t)
  await move('1.5 seconds')
  const due = (await schedules(database))[0]!.next_run_at.getTime()
  await eventually(() => runs.length === 1)
  const [ran = 0] = runs
  assert.ok(ran >= due, `${due - ran} ms too early`)
  t.diagnostic(`${ran - due} ms after its time`)
  // Two seconds on a quiet machine; sleeping until the next look would be thirty.
  assert.ok(ran - due < 15_000, `${ran - due} ms late`)
  const [after] = await schedules(database)
  assert.equal(after?.last_run_at?.getTime(), due)
  assert.ok((after?.next_run_at.getTime() ?? 0) > Date.now())
})

test('of many workers one files each time', async t => {
  const first = await clocked(t)
  const others = await Promise.all(
    ['b', 'c'].map(name => start(t, [first.actor], { database: first.database, name })),
  )
  for (let time = 1; time <= 5; time++) {
    await first.move('-1 milliseconds')
    await eventually(() => first.runs.length === time)
  }
  const filed = () => first.db.rows(sql`select 1 from tasks`)
  await eventually(async () => (await first.db.rows(sql`select 1 from task_runs where final`)).length === 5)
  assert.equal((await filed()).length, 5)
  assert.equal(first.runs.length, 5)
  assert.equal(others.length, 2)
})

test('the clock passes to another worker when its holder stops', async t => {
  const first = await clocked(t)
  await start(t, [first.actor], { database: first.database, name: 'second' })
  const holder = async () =>
    (await first.database.db.first(
      sql<{ node: string }>`select node from leases where key = 'task.scheduler' and expires_at > now()`,
    ))!.node
  assert.equal(await holder(), first.node.id)
  await first.close()
  await eventually(
    async () =>
      (
        await first.database.db.rows(sql`
        select 1 from leases where key = 'task.scheduler' and expires_at > now() and node <> ${first.node.id}`)
      ).length === 1,
  )
  await first.database.db.rows(sql`update task_schedules set next_run_at = now()`)
  await eventually(() => first.runs.length === 1, 45_000)
})

test('missed times are made good as the schedule says', async t => {
  const made = async (catchUp: 'none' | 'once' | 'all') => {
    const clock = await clocked(t, { catchUp })
    const ran = () => clock.runs.length
    await clock.db.rows(sql`update task_schedules set crontab = '0 * * * *'`)
    await clock.move('-4 hours -30 minutes')
    await eventually(
      async () => ((await schedules(clock.database))[0]?.next_run_at.getTime() ?? 0) > Date.now(),
    )
    const idle = async () =>
      (await clock.db.rows(sql`select 1 from tasks where last_run is null`)).length === 0
    await eventually(idle)
    await clock.close()
    return ran()
  }
  assert.equal(await made('once'), 1)
  const all = await made('all')
  assert.ok(all === 5 || all === 6, String(all))
  // At the very hour the newest of them is not late yet.
  const none = await made('none')
  assert.ok(none <= 1, String(none))
})

test('jitter delays the run, not the clock', async t => {
  const { move, db, database } = await clocked(t, { jitterSeconds: 3600 })
  await move('-1 milliseconds')
  await eventually(async () => (await schedules(database))[0]?.last_run_at !== null)
  const [task] = await db.rows(sql<{ late: number }>`
    select extract(epoch from start_after - now())::float8 as late from pgboss.job where data ? 'actor'`)
  // Up to an hour, of a schedule that runs once a year; that it is a second or less happens once in 3,600 times.
  assert.ok(task === undefined || (task.late > -30 && task.late <= 3600))
  assert.ok(((await schedules(database))[0]?.next_run_at.getTime() ?? 0) > Date.now())
})

test('a schedule whose crontab cannot be read is paused, and holds nobody up', async t => {
  const { move, db, runs, database } = await clocked(t)
  await db.rows(sql`
    insert into task_schedules (identifier, actor, crontab, next_run_at) values ('broken', 'a', 'never', now() - interval '1 day')`)
  await move('-1 milliseconds')
  await eventually(() => runs.length === 1)
  const broken = await database.db.first(
    sql<{ paused: boolean }>`select paused from task_schedules where identifier = 'broken'`,
  )
  assert.equal(broken?.paused, true)
})
