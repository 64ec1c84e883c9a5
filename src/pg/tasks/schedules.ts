// When tasks run by themselves: what comes with the program, and what an administrator changed about it.
import { type Db, sql, type Tx } from '../db.ts'
import { lockInTx } from '../lock.ts'
import type { CatchUp, SettledActor } from './actor.ts'
import { bossSchema } from './boss-schema.ts'
import type { TaskObject } from './job.ts'
import { nextTimes } from './timetable.ts'
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
  next_run_at: Date | null
  last_run_at: Date | null
  catch_up: CatchUp
  jitter_seconds: number
}

/** Bus message: a schedule is new or different, look again. */
export const schedulesType = 'task.schedules'

/**
 * Brings the schedules of the actors into the table; what was edited stays. Those of actors that are gone are taken out, unless another
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
    const rows = await tx.rows(
      sql<ScheduleRow>`select * from ${tx.t('task_schedules')} where identifier = actor for update`,
    )
    const before = new Map(rows.map(row => [row.actor, row]))
    for (const actor of scheduled) await writeSchedule(tx, actor, before.get(actor.name))
    const others = (await liveWorkers(tx)).some(worker => worker.version !== version)
    if (!others) {
      const kept = scheduled.map(actor => actor.name)
      await tx.count(sql`
        delete from ${tx.t('task_schedules')} where identifier = actor and actor <> all(${kept}::text[])`)
    }
    // Versions before this one left the clock to pg-boss.
    const clock = sql.raw(`${bossSchema(tx.schema)}.schedule`)
    await tx.count(sql`
      delete from ${clock} b using ${tx.t('task_schedules')} s where b.key = s.id::text`)
  })
}

async function writeSchedule(tx: Tx, actor: SettledActor, before: ScheduleRow | undefined): Promise<void> {
  const { timezone = 'UTC', payload, catchUp = 'once', jitterSeconds = 0 } = actor.schedule!
  const crontab = before?.edited ? before.crontab : actor.schedule!.crontab
  const same = before?.crontab === crontab && before.timezone === timezone && before.next_run_at !== null
  const next = same ? before.next_run_at : nextTimes(crontab, timezone)[0]
  await tx.count(sql`
    insert into ${tx.t('task_schedules')} as s
      (identifier, actor, payload, crontab, timezone, catch_up, jitter_seconds, next_run_at)
    values (${actor.name}, ${actor.name}, ${JSON.stringify(payload)}, ${crontab}, ${timezone}, ${catchUp}, ${jitterSeconds}, ${next})
    on conflict (identifier) do update set payload = excluded.payload, timezone = excluded.timezone, crontab = excluded.crontab,
      catch_up = excluded.catch_up, jitter_seconds = excluded.jitter_seconds, next_run_at = excluded.next_run_at
    where (s.payload, s.timezone, s.crontab, s.catch_up, s.jitter_seconds, s.next_run_at)
      is distinct from (excluded.payload, excluded.timezone, excluded.crontab, excluded.catch_up, excluded.jitter_seconds,
        excluded.next_run_at)`)
}

/**
 * Changes crontab or pause. What was missed while a schedule was paused is not made good.
 * @throws ScheduleError for a crontab that cannot be read
 */
export async function updateSchedule(
  tx: Tx,
  id: string,
  change: { crontab?: string | undefined; paused?: boolean | undefined },
): Promise<ScheduleRow | undefined> {
  const before = await tx.first(
    sql<ScheduleRow>`select * from ${tx.t('task_schedules')} where id = ${id} for update`,
  )
  if (before === undefined) return undefined
  const { crontab = before.crontab, paused = before.paused } = change
  const [next] = nextTimes(crontab, before.timezone)
  const restarts = crontab !== before.crontab || (before.paused && !paused)
  return await tx.first(sql<ScheduleRow>`
    update ${tx.t('task_schedules')} set crontab = ${crontab}, paused = ${paused}, edited = edited or ${crontab !== before.crontab},
      next_run_at = ${restarts ? next : before.next_run_at}, updated_at = now()
    where id = ${id} returning *`)
}
