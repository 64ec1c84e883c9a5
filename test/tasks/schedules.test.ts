import assert from 'node:assert/strict'
import { test } from 'node:test'
import Type from 'typebox'
import { sql } from '../../src/pg/db.ts'
import { type AnyActor, actorRegistry, defineActor } from '../../src/pg/tasks/actor.ts'
import { nextTimes, ScheduleError, syncSchedules, updateSchedule } from '../../src/pg/tasks/schedules.ts'
import { eventually } from '../pg/eventually.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { start } from './engine.ts'

function scheduled(name: string, crontab: string, timezone?: string): AnyActor {
  return defineActor({
    name,
    description: 'Runs by itself.',
    payload: Type.Object({}),
    schedule: { crontab, payload: {}, ...(timezone === undefined ? {} : { timezone }) },
    run: async () => {},
  })
}

function both(database: TestDatabase) {
  return database.db.rows(
    sql<{ actor: string; crontab: string; cron: string | null; timezone: string | null }>`
      select s.actor, s.crontab, b.cron, b.timezone from task_schedules s left join pgboss.schedule b on b.key = s.id::text
      order by s.actor`,
  )
}

test('what an administrator chose survives a new version, what he did not follows it', async t => {
  const database = await testDatabase(t)
  const { db } = database
  const first = actorRegistry([scheduled('a', '0 1 * * *'), scheduled('b', '0 2 * * *', 'Europe/Berlin')])
  await syncSchedules(db, first, '1')
  const row = await db.first<{ id: string }>(sql`select id from task_schedules where actor = 'a'`)
  await db.transaction(tx => updateSchedule(tx, first, row!.id, { crontab: '0 9 * * *' }))
  const second = actorRegistry([scheduled('a', '0 3 * * *'), scheduled('b', '0 4 * * *', 'Europe/Paris')])
  await syncSchedules(db, second, '2')
  assert.deepEqual(await both(database), [
    { actor: 'a', crontab: '0 9 * * *', cron: '0 9 * * *', timezone: 'UTC' },
    { actor: 'b', crontab: '0 4 * * *', cron: '0 4 * * *', timezone: 'Europe/Paris' },
  ])
})

test('a schedule follows its actor into another queue', async t => {
  const database = await testDatabase(t)
  await syncSchedules(database.db, actorRegistry([scheduled('a', '0 1 * * *')]), '1')
  await syncSchedules(database.db, actorRegistry([{ ...scheduled('a', '0 1 * * *'), queue: 'slow' }]), '2')
  assert.deepEqual(await database.db.rows(sql`select name from pgboss.schedule`), [{ name: 'slow' }])
})

test('a paused schedule stays paused over a restart', async t => {
  const database = await testDatabase(t)
  const { db } = database
  const actors = actorRegistry([scheduled('a', '0 1 * * *')])
  await syncSchedules(db, actors, '1')
  const row = await db.first<{ id: string }>(sql`select id from task_schedules`)
  await db.transaction(tx => updateSchedule(tx, actors, row!.id, { paused: true }))
  await syncSchedules(db, actors, '1')
  assert.deepEqual(await both(database), [{ actor: 'a', crontab: '0 1 * * *', cron: null, timezone: null }])
  await db.transaction(tx => updateSchedule(tx, actors, row!.id, { paused: false }))
  assert.equal((await both(database))[0]?.cron, '0 1 * * *')
})

test('a change that fails leaves both tables as they were', async t => {
  const database = await testDatabase(t)
  const { db } = database
  const actors = actorRegistry([scheduled('a', '0 1 * * *')])
  await syncSchedules(db, actors, '1')
  const row = await db.first<{ id: string }>(sql`select id from task_schedules`)
  await assert.rejects(
    db.transaction(tx => updateSchedule(tx, actors, row!.id, { crontab: 'never' })),
    ScheduleError,
  )
  await assert.rejects(
    db.transaction(async tx => {
      await updateSchedule(tx, actors, row!.id, { crontab: '0 9 * * *' })
      throw new Error('no')
    }),
    /^Error: no$/,
  )
  assert.deepEqual(await both(database), [
    { actor: 'a', crontab: '0 1 * * *', cron: '0 1 * * *', timezone: 'UTC' },
  ])
})

test('schedules of actors that are gone go, but not while another version works', async t => {
  const database = await testDatabase(t)
  const { db } = database
  await syncSchedules(db, actorRegistry([scheduled('a', '0 1 * * *'), scheduled('b', '0 2 * * *')]), '2')
  await db.rows(
    sql`insert into nodes (id, name, kind, version) values (gen_random_uuid(), 'new', 'worker', '2')`,
  )
  await syncSchedules(db, actorRegistry([scheduled('a', '0 1 * * *')]), '1')
  assert.equal((await both(database)).length, 2)
  await db.rows(sql`delete from nodes`)
  await syncSchedules(db, actorRegistry([scheduled('a', '0 1 * * *')]), '1')
  assert.deepEqual(
    (await both(database)).map(row => row.actor),
    ['a'],
  )
  assert.equal((await db.rows(sql`select 1 from pgboss.schedule`)).length, 1)
})

test('times are those of the zone, over the change of summer time too', () => {
  const from = new Date('2026-03-28T12:00:00Z')
  assert.deepEqual(
    nextTimes('30 8 * * *', 'Europe/Berlin', from, 2).map(time => time.toISOString()),
    ['2026-03-29T06:30:00.000Z', '2026-03-30T06:30:00.000Z'],
  )
  assert.throws(() => nextTimes('30 8 * * *', 'Europe/Nowhere'), ScheduleError)
  assert.throws(() => nextTimes('* * * * * *', 'UTC'), ScheduleError)
  assert.throws(() => nextTimes('61 * * * *', 'UTC'), ScheduleError)
})

test('a missed time is caught up once', async t => {
  let runs = 0
  const actor: AnyActor = { ...scheduled('a', '0 0 * * *'), run: async () => void runs++ }
  const { db } = await start(t, [actor], { timers: { cronSeconds: 1 } })
  // The clock was last looked at two days ago, when the schedule was there already.
  await db.rows(sql`update pgboss.schedule set created_on = now() - interval '3 days'`)
  await db.rows(sql`update pgboss.version set cron_on = now() - interval '49 hours'`)
  await eventually(() => runs === 1, 15_000)
  await eventually(async () => {
    const row = await db.first<{ late: boolean }>(
      sql`select cron_on < now() - interval '1 hour' as late from pgboss.version`,
    )
    return row?.late === false
  })
  assert.equal(runs, 1)
  // What pg-boss files on the way is not kept for long.
  const kept = await db.rows(
    sql`select distinct deletion_seconds from pgboss.job where name not in ('default', 'slow')`,
  )
  assert.deepEqual(kept, [{ deletion_seconds: 300 }])
})
