// How many tasks may wait. Above that, what is not critical is refused at once, so that a flood fails where it comes from and does not
// fill the disk of PostgreSQL.
import { errorText, type Log } from '../../log.ts'
import { type Db, sql, type Tx } from '../db.ts'
import { bossSchema } from './boss-schema.ts'

export interface DepthGuard {
  /** @throws QueueFullError */
  admit(on: Db | Tx, queue: string): Promise<void>
}

/** Too many tasks wait: the change that asks for another is refused as a whole. */
export class QueueFullError extends Error {
  readonly queue: string
  constructor(queue: string, most: number) {
    super(
      `the task queue "${queue}" is full: more than ${most} tasks wait (POSTERN_TASKS_MAX_QUEUED); see that a worker runs, and look at /api/v3/tasks/tasks/`,
    )
    this.name = 'QueueFullError'
    this.queue = queue
  }
}

export const standardMaxQueued = 100_000
/** Between two counts, what this process adds is counted here. */
const memoMs = 5000
/** While it is full one looks more often: it shall not be refused for longer than needed. */
const fullMemoMs = 1000
const tellEveryMs = 60_000

/**
 * @param options.maxQueued per queue
 * @param options.onFull told at most once a minute
 */
export function createDepthGuard(options: {
  log: Log
  maxQueued?: number
  onFull?: (queue: string, maxQueued: number) => Promise<void>
}): DepthGuard {
  const { log, maxQueued = standardMaxQueued } = options
  const depths = new Map<string, { at: number; waiting: number }>()
  let toldAt = Number.NEGATIVE_INFINITY

  function tell(queue: string): void {
    if (performance.now() - toldAt < tellEveryMs) return
    toldAt = performance.now()
    log.error('task queue is full, tasks are refused', { queue, limit: maxQueued })
    options.onFull?.(queue, maxQueued).catch(error => {
      log.warning('full task queue not reported', { error: errorText(error) })
    })
  }

  return {
    async admit(on, queue) {
      const depth = depths.get(queue) ?? { at: Number.NEGATIVE_INFINITY, waiting: 0 }
      depths.set(queue, depth)
      const memo = depth.waiting > maxQueued ? fullMemoMs : memoMs
      if (performance.now() - depth.at > memo) {
        // The next caller does not count as well.
        depth.at = performance.now()
        depth.waiting = await countWaiting(on, queue, maxQueued + 1)
      }
      if (++depth.waiting > maxQueued) {
        tell(queue)
        throw new QueueFullError(queue, maxQueued)
      }
    },
  }
}

/** On the caller's connection: one in a transaction must not need a second. */
async function countWaiting(on: Db | Tx, queue: string, most: number): Promise<number> {
  const row = await on.first(sql<{ waiting: number }>`
    select count(*)::int as waiting from (
      select from ${sql.raw(bossSchema(on.schema))}.job where name = ${queue} and state < 'active' and not blocked limit ${most}) as w`)
  return row?.waiting ?? 0
}
