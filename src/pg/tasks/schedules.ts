// When tasks run by themselves. `task_schedules` is what an administrator sees and changes; pg-boss's own table has those that are not
// paused, written in the same transaction, and its clock sends the jobs.
import { PgBoss } from 'pg-boss'
import { errorText } from '../../log.ts'
import { type Db, sql, type Tx } from '../db.ts'
import { lockInTx } from '../lock.ts'
import { queues, type SettledActor } from './actor.ts'
import { bossDatabase } from './boss.ts'
import { bossSchema } from './boss-schema.ts'
import { dedupeKey } from './enqueue.ts'
import { type Envelope, sendOptions, type TaskObject } from './job.ts'
import { liveWorkers } from './workers.ts'

export interface ScheduleRow {
  id: string
  identifier: string
  actor: string
  payload: unknown
  crontab: string
  timezone: string
  paused: boolean
  edited: boolean
  object: TaskObject | null
}

/** Text that is no schedule, with the reason. */
export class ScheduleError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ScheduleError'
  }
}

/**
 * @returns the next `count` times
 * @throws ScheduleError for a crontab or time zone that cannot be read
 */
export function nextTimes(crontab: string, timezone: string, from: Date = new Date(), count = 1): Date[] {
  if (crontab.trim().split(/\s+/).length !== 5 && !/^@[a-z]+$/.test(crontab.trim()))
    throw new ScheduleError('a crontab has five fields: minute, hour, day of month, month, day of week')
  try {
    return previewer.previewSchedule(crontab, { tz: timezone, from, count })
  } catch (error) {
    throw new ScheduleError(errorText(error), { cause: error })
  }
}

/** Only computes; it is never started and never asks a database. */
const previewer = new PgBoss({
  db: { executeSql: () => Promise.reject(new Error('this instance has no database')) },
  supervise: false,
  schedule: false,
  migrate: false,
})

/**
 * Brings the schedules of the actors into the tables; what was edited stays. Those of actors that are gone are taken out, unless another
 * version works as well: while one is rolled out, each would take the other's.
 * @param version of this program
 */
export async function syncSchedules(
  db: Db,
  actors: ReadonlyMap<string, SettledActor>,
  version: string,
): Promise<void> {
  const scheduled = [...actors.values()].filter(actor => actor.schedule !== undefined)
  await db.transaction(async tx => {
    await lockInTx(tx, 'task', 'schedules')
    for (const actor of scheduled) {
      const { crontab, timezone = 'UTC', payload } = actor.schedule!
      const row = await tx.first(sql<ScheduleRow>`
        insert into ${tx.t('task_schedules')} as s (identifier, actor, payload, crontab, timezone)
        values (${actor.name}, ${actor.name}, ${JSON.stringify(payload)}, ${crontab}, ${timezone})
        on conflict (identifier) do update set payload = excluded.payload, timezone = excluded.timezone,
          crontab = case when s.edited then s.crontab else excluded.crontab end
        returning *`)
      await mirror(tx, row!, actor)
    }
    const others = (await liveWorkers(tx)).some(worker => worker.version !== version)
    if (!others)
      await removeSchedules(
        tx,
        scheduled.map(actor => actor.name),
      )
  })
}

/** Takes out the program's own schedules but those named. */
async function removeSchedules(tx: Tx, kept: string[]): Promise<void> {
  const gone = await tx.rows(sql<{ id: string }>`
    delete from ${tx.t('task_schedules')} where identifier = actor and actor <> all(${kept}::text[]) returning id`)
  if (gone.length === 0) return
  const boss = bossIn(tx)
  const ids = new Set(gone.map(row => row.id))
  for (const { name, key } of await boss.getSchedules()) if (ids.has(key)) await boss.unschedule(name, key)
}

/**
 * Changes crontab or pause.
 * @throws ScheduleError for a crontab that cannot be read
 */
export async function updateSchedule(
  tx: Tx,
  actors: ReadonlyMap<string, SettledActor>,
  id: string,
  change: { crontab?: string | undefined; paused?: boolean | undefined },
): Promise<ScheduleRow | undefined> {
  const before = await tx.first(
    sql<ScheduleRow>`select * from ${tx.t('task_schedules')} where id = ${id} for update`,
  )
  if (before === undefined) return undefined
  const crontab = change.crontab ?? before.crontab
  nextTimes(crontab, before.timezone)
  const row = await tx.first(sql<ScheduleRow>`
    update ${tx.t('task_schedules')} set crontab = ${crontab}, paused = ${change.paused ?? before.paused},
      edited = edited or ${crontab !== before.crontab}, updated_at = now()
    where id = ${id} returning *`)
  const actor = actors.get(before.actor)
  if (actor !== undefined) await mirror(tx, row!, actor)
  return row
}

/** pg-boss learns what is to run; a job that still waits is not joined by another. */
async function mirror(tx: Tx, row: ScheduleRow, actor: SettledActor): Promise<void> {
  const boss = bossIn(tx)
  // An actor may have changed its queue since.
  for (const queue of queues) if (row.paused || queue !== actor.queue) await boss.unschedule(queue, row.id)
  if (row.paused) return
  const envelope: Envelope = {
    actor: actor.name,
    payload: row.payload,
    uid: row.identifier === row.actor ? '' : row.identifier,
    ...(row.object === null ? {} : { object: row.object }),
  }
  const options = sendOptions(actor, dedupeKey(actor.name, `schedule/${row.id}`), {})
  await boss.schedule(actor.queue, row.crontab, envelope, {
    ...options,
    tz: row.timezone,
    key: row.id,
    missed: 'once',
  })
}

/** pg-boss's own statements inside our transaction; not started, so without timers. */
function bossIn(tx: Tx): PgBoss {
  return new PgBoss({
    db: bossDatabase(tx),
    schema: bossSchema(tx.schema),
    supervise: false,
    schedule: false,
    migrate: false,
  })
}
