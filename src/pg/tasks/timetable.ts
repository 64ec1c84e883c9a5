// When a schedule is due: crontabs in a time zone, and what becomes of times that were missed. Nothing here asks a database.
import { PgBoss } from 'pg-boss'
import { errorText } from '../../log.ts'
import type { CatchUp } from './actor.ts'

/** Text that is no schedule, with the reason. */
export class ScheduleError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ScheduleError'
  }
}

/**
 * Times that summer time leaves out are made up for right after the gap; those it repeats come once.
 * @returns the next `count` times after `from`
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

/** Later than this a time counts as missed. */
const punctualMs = 60_000
/** Runs that are made good in one go; the rest follows at once. */
const mostAtOnce = 100

/**
 * @param schedule.nextRunAt when it was to run
 * @returns `runs`: the times to run for now; `next`: when to look again, which lies in the past when there is more to make good
 * @throws ScheduleError
 */
export function dueRuns(
  schedule: { crontab: string; timezone: string; catchUp: CatchUp; nextRunAt: Date },
  now: Date,
): { runs: Date[]; next: Date } {
  const { crontab, timezone, catchUp, nextRunAt } = schedule
  const after = (from: Date, count = 1) => nextTimes(crontab, timezone, from, count)
  const ahead = after(now)[0] as Date
  if (nextRunAt > now) return { runs: [], next: nextRunAt }
  if (catchUp === 'once') return { runs: [nextRunAt], next: ahead }
  if (catchUp === 'none') {
    const since = Math.max(nextRunAt.getTime(), now.getTime() - punctualMs)
    const latest = since === nextRunAt.getTime() ? nextRunAt : after(new Date(since))[0]
    return { runs: latest !== undefined && latest <= now ? [latest] : [], next: ahead }
  }
  const due = [nextRunAt, ...after(nextRunAt, mostAtOnce)].filter(time => time <= now)
  const runs = due.slice(0, mostAtOnce)
  return { runs, next: due[mostAtOnce] ?? ahead }
}

/** @returns milliseconds, at most a twentieth of the time between two runs */
export function jitterMs(
  schedule: { crontab: string; timezone: string; jitterSeconds: number },
  from: Date,
  random = Math.random,
): number {
  if (schedule.jitterSeconds <= 0) return 0
  const [one, other] = nextTimes(schedule.crontab, schedule.timezone, from, 2)
  const period = one === undefined || other === undefined ? 0 : other.getTime() - one.getTime()
  return Math.round(random() * Math.min(schedule.jitterSeconds * 1000, period / 20))
}
