// The tasks Core comes with, run by the real engine on their real tables.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSecrets } from '../../src/core/secrets.ts'
import { coreActors } from '../../src/core/tasks.ts'
import { silentLog } from '../../src/log.ts'
import { sql } from '../../src/pg/db.ts'
import { nextTimes } from '../../src/pg/tasks/timetable.ts'
import { eventually } from '../pg/eventually.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { startTaskProcess } from './process.ts'

function actorsFor(database: TestDatabase) {
  const core = {
    db: database.db,
    bus: {
      publish() {},
      subscribe: () => () => {},
      onResync: () => () => {},
      healthy: () => true,
      close: async () => {},
    },
    log: silentLog,
    secrets: createSecrets('a test key that is long enough for it'),
  }
  return coreActors(core, 'worker')
}

const askedFor = new Set(['send_mail', 'outpost_send_update'])

test('every actor that is not asked for has a schedule that can be read, and all have a description', async t => {
  const database = await testDatabase(t)
  const actors = actorsFor(database)
  assert.deepEqual(actors.map(actor => actor.name).sort(), [
    'access_review',
    'certificate_expiry',
    'clean_expired_models',
    'clean_proxy_sessions',
    'outpost_send_update',
    'outpost_service_connection_monitor',
    'outpost_token_ensurer',
    'send_mail',
    'task_figures',
    'task_history',
    'task_queue_upkeep',
  ])
  for (const { name, schedule, description } of actors) {
    assert.ok(description.endsWith('.'))
    if (askedFor.has(name)) assert.equal(schedule, undefined)
    else assert.equal(nextTimes(schedule!.crontab, schedule!.timezone ?? 'UTC', new Date(), 3).length, 3)
  }
})

test('each of them succeeds on an installation, and deletes what has expired', async t => {
  const database = await testDatabase(t)
  const { db } = database
  const running = await startTaskProcess(database.target, actorsFor(database))
  t.after(() => running.close())
  await db.rows(sql`
    insert into sessions (id, key_hash, expires_at)
    values (gen_random_uuid(), '\\x01', now() - interval '1 second'), (gen_random_uuid(), '\\x02', now() + interval '1 hour')`)
  await db.rows(sql`
    insert into events (action, app, expires_at)
    values ('login', 'x', now() - interval '1 second'), ('logout', 'x', now() + interval '1 day')`)
  await db.rows(sql`
    insert into proxy_sessions (key_hash, client_id, user_hash, sealed, created_at, expires_at)
    values ('\\x01', 'c', '\\x01', '\\x01', now(), now() - interval '1 second'), ('\\x02', 'c', '\\x01', '\\x01', now(), now() + interval '1 hour')`)
  const ids = await Promise.all(
    [...running.tasks.actors.values()]
      .filter(actor => actor.schedule !== undefined)
      .map(async ({ name }) => (await running.tasks.enqueue(db, name, {})).id),
  )
  const ended = () =>
    db.rows(
      sql<{
        actor: string
        status: string
      }>`select actor, state || ' ' || status as status from tasks where id = any(${ids}::uuid[]) and last_run is not null`,
    )
  await eventually(async () => (await ended()).length === ids.length, 30_000)
  assert.deepEqual(
    (await ended()).filter(run => run.status !== 'done done'),
    [],
  )
  for (const table of ['sessions', 'events', 'proxy_sessions']) {
    const rows = await db.rows(
      sql<{ live: boolean }>`select expires_at > now() as live from ${sql.id(table)}`,
    )
    assert.deepEqual(rows, [{ live: true }], table)
  }
})

test('a certificate is warned of once per threshold', async t => {
  const database = await testDatabase(t)
  const { db } = database
  const running = await startTaskProcess(database.target, actorsFor(database))
  t.after(() => running.close())
  await db.rows(sql`
    insert into certificate_keypairs (name, certificate_pem, fingerprint_sha256, fingerprint_sha1, subject, key_type, not_after)
    values ('soon', '', '', '', '', 'ec', now() + interval '5 days 12 hours'), ('over', '', '', '', '', 'ec', now() - interval '1 hour'),
           ('fine', '', '', '', '', 'ec', now() + interval '90 days')`)
  const check = async () => {
    const { id } = await running.tasks.enqueue(db, 'certificate_expiry', {})
    await eventually(
      async () =>
        (await db.rows(sql`select 1 from task_runs where task_id = ${id} and state = 'done'`)).length === 1,
    )
    const events = await db.rows(
      sql<{ name: string; days: number }>`
        select context #>> '{model,name}' as name, (context ->> 'warning_days')::int as days from events
        where action = 'configuration_warning' order by created_at, 1`,
    )
    return events.map(event => `${event.name} ${event.days}`)
  }
  assert.deepEqual((await check()).sort(), ['over 0', 'soon 7'])
  assert.deepEqual((await check()).length, 2)
  await db.rows(
    sql`update certificate_keypairs set not_after = date_trunc('second', now() + interval '12 hours') where name = 'soon'`,
  )
  assert.deepEqual((await check()).sort(), ['over 0', 'soon 1', 'soon 7'])
  assert.equal((await check()).length, 3)
})
