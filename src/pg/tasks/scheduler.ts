// The clock of schedules: one process holds it, sleeps until the next time, files the tasks that are due, and notes in the same
// transaction when to look again. Another takes over when it is gone; that a time is used once is held by the row, not by the clock.
import { setTimeout as sleep } from 'node:timers/promises'
import { errorText, type Log } from '../../log.ts'
import type { Bus } from '../bus.ts'
import { type Db, sql, type Tx } from '../db.ts'
import type { Leases } from '../leases.ts'
import type { SettledActor } from './actor.ts'
import type { EnqueueOptions } from './enqueue.ts'
import { type ScheduleRow, schedulesType } from './schedules.ts'
import { dueRuns, jitterMs, ScheduleError } from './timetable.ts'

export interface Scheduler {
  close(): Promise<void>
}

export interface SchedulerOptions {
  db: Db
  bus: Bus
  leases: Leases
  actors: ReadonlyMap<string, SettledActor>
  enqueue: (tx: Tx, actor: string, payload: unknown, options: EnqueueOptions) => Promise<unknown>
  log: Log
}

const leaseKey = 'task.scheduler'
/** A dead holder is replaced within this time. */
const leaseMs = 30_000
/** Looks at least this often: a message about a change may be lost, and clocks are set. */
const longestSleepMs = 30_000
const retryMs = 1000

export function createScheduler(options: SchedulerOptions): Scheduler {
  const { db, bus, leases, log } = options
  const end = new AbortController()
  let wake = () => {}
  const stopListening = bus.subscribe(schedulesType, () => wake())
  const running = keep()

  async function keep(): Promise<void> {
    while (!end.signal.aborted) {
      try {
        const lease = await leases.acquire(leaseKey, { ttlMs: leaseMs, wait: end.signal })
        if (lease === null) return
        try {
          await hold(AbortSignal.any([end.signal, lease.signal]))
        } finally {
          await lease.release()
        }
      } catch (error) {
        log.warning('schedules cannot be kept now', { error: errorText(error) })
        await sleep(retryMs, undefined, { signal: end.signal }).catch(() => {})
      }
    }
  }

  async function hold(until: AbortSignal): Promise<void> {
    until.addEventListener('abort', () => wake(), { once: true })
    while (!until.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>()
      wake = resolve
      const waitMs = await fileDue(db, options)
      const timer = setTimeout(resolve, Math.min(waitMs, longestSleepMs))
      if (!until.aborted) await promise
      clearTimeout(timer)
    }
  }

  return {
    async close() {
      end.abort()
      stopListening()
      wake()
      await running
    },
  }
}

type DueRow = ScheduleRow & { at: Date }

/**
 * Files a task for every time that has come.
 * @returns milliseconds until the next
 */
export async function fileDue(
  db: Db,
  options: Pick<SchedulerOptions, 'actors' | 'enqueue' | 'log'>,
): Promise<number> {
  const known = [...options.actors.keys()]
  const untilNext = async () => {
    const row = await db.first(sql<{ ms: number | null }>`
      select extract(epoch from min(coalesce(next_run_at, to_timestamp(0))) - clock_timestamp())::float8 * 1000 as ms
      from ${db.t('task_schedules')} where not paused and actor = any(${known}::text[])`)
    return row?.ms ?? Number.POSITIVE_INFINITY
  }
  const before = await untilNext()
  if (before > 0) return before
  await db.transaction(async tx => {
    const due = await tx.rows(sql<DueRow>`
      select *, clock_timestamp() as at from ${tx.t('task_schedules')}
      where not paused and actor = any(${known}::text[]) and (next_run_at is null or next_run_at <= clock_timestamp())
      order by next_run_at for update skip locked`)
    for (const row of due) await file(tx, row, options)
  })
  return Math.max(0, await untilNext())
}

async function file(tx: Tx, row: DueRow, options: Pick<SchedulerOptions, 'enqueue' | 'log'>): Promise<void> {
  const schedule = {
    crontab: row.crontab,
    timezone: row.timezone,
    catchUp: row.catch_up,
    jitterSeconds: row.jitter_seconds,
    nextRunAt: row.next_run_at ?? new Date(row.at.getTime() + 1),
  }
  try {
    const { runs, next } = dueRuns(schedule, row.at)
    for (const time of runs) {
      const each = row.catch_up === 'all' ? `/${time.toISOString()}` : ''
      await options.enqueue(tx, row.actor, row.payload, {
        dedupe: `schedule/${row.id}${each}`,
        delayMs: jitterMs(schedule, row.at),
        uid: row.identifier === row.actor ? '' : row.identifier,
        critical: true,
        ...(row.object === null ? {} : { object: row.object }),
      })
    }
    await tx.count(sql`
      update ${tx.t('task_schedules')} set next_run_at = ${next}, last_run_at = coalesce(${runs.at(-1) ?? null}, last_run_at)
      where id = ${row.id}`)
  } catch (error) {
    if (!(error instanceof ScheduleError)) throw error
    options.log.warning('schedule cannot be read, it is paused', {
      schedule: row.identifier,
      error: error.message,
    })
    await tx.count(sql`update ${tx.t('task_schedules')} set paused = true where id = ${row.id}`)
  }
}
