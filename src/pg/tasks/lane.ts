// One queue of a worker. It has so many slots; while runs are short it claims more than it has slots for, so that no slot waits for
// the database: about a tenth of a second of work, and what has not begun after a second goes back to the queue.
import type { Log } from '../../log.ts'
import type { ClaimedJob } from './job.ts'
import { createPoller } from './poller.ts'

export interface Lane {
  /** There may be work now, or in `inMs`. */
  ring(inMs?: number): void
  /** There may be room again. */
  freed(): void
  /** Claims nothing more; what has not begun goes back. */
  close(): Promise<void>
}

/** Most jobs in one claim. */
const largestClaim = 100
const aheadMs = 100
const staleMs = 1000
/** Of the newest run in the mean of how long runs take. */
const weight = 0.2
/** Until the first have shown better. */
const assumedMs = 1000

/**
 * @param options.slots most runs at a time
 * @param options.claim at most `count` jobs; null: try again in a moment
 * @param options.start resolves when the slot is free again; never rejects
 * @param options.giveBack jobs that have not begun
 * @param options.mayClaim asked before each claim
 */
export function createLane(options: {
  queue: string
  slots: number
  pollMs: number
  claim: (count: number) => Promise<ClaimedJob[] | null>
  start: (job: ClaimedJob) => Promise<void>
  giveBack: (jobs: ClaimedJob[]) => Promise<void>
  mayClaim: () => boolean
  /** An answer that is not full may still leave jobs in the queue. */
  passesOver: boolean
  log: Log
}): Lane {
  const { slots } = options
  const backlog: { job: ClaimedJob; at: number }[] = []
  let busy = 0
  let meanMs = assumedMs
  let staleTimer: NodeJS.Timeout | undefined
  let closed = false

  const ahead = () => Math.min(largestClaim, Math.floor((slots * aheadMs) / Math.max(meanMs, 0.1)))
  const poller = createPoller({ queue: options.queue, pollMs: options.pollMs, room, claim, log: options.log })

  function room(): number {
    if (!options.mayClaim()) return 0
    const spare = ahead()
    // Few at a time would cost a statement each.
    if (backlog.length > spare / 2) return 0
    return Math.min(largestClaim, slots + spare - busy - backlog.length)
  }

  async function claim(count: number): Promise<number> {
    const jobs = await options.claim(count)
    if (jobs === null) {
      poller.ring(20 + Math.random() * 80)
      return 0
    }
    const at = performance.now()
    for (const job of jobs) backlog.push({ job, at })
    fill()
    return options.passesOver && jobs.length > 0 ? count : jobs.length
  }

  function fill(): void {
    while (busy < slots) {
      const next = backlog.shift()
      if (next === undefined) break
      void begin(next.job)
    }
    if (backlog.length > 0 && staleTimer === undefined) watchBacklog()
  }

  async function begin(job: ClaimedJob): Promise<void> {
    busy++
    const began = performance.now()
    await options.start(job)
    busy--
    meanMs += weight * (performance.now() - began - meanMs)
    fill()
    poller.freed()
  }

  function watchBacklog(): void {
    const [oldest] = backlog
    if (oldest === undefined || closed) return
    staleTimer = setTimeout(
      () => {
        staleTimer = undefined
        if (backlog[0] !== undefined && performance.now() - backlog[0].at >= staleMs) {
          meanMs = assumedMs
          void options.giveBack(backlog.splice(0).map(entry => entry.job))
        }
        watchBacklog()
      },
      Math.max(10, oldest.at + staleMs - performance.now()),
    )
  }

  return {
    ring: poller.ring,
    freed: poller.freed,
    async close() {
      await poller.close()
      closed = true
      clearTimeout(staleTimer)
      const unbegun = backlog.splice(0).map(entry => entry.job)
      if (unbegun.length > 0) await options.giveBack(unbegun)
    },
  }
}
