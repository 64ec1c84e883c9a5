// The runs of a worker whose claims it holds. A beat keeps the claims, stores progress and lines, and learns which are lost or
// cancelled; what a run says in between is stored within a second.
import { errorText, type Log } from '../../log.ts'
import type { Db } from '../db.ts'
import type { ClaimedJob } from './job.ts'
import type { RunHandle } from './run-job.ts'
import { beatJobs, type HeldClaim } from './settle.ts'

export interface HeldRun {
  queue: string
  job: ClaimedJob
  handle: RunHandle
}

export interface HeldRuns {
  readonly size: number
  add(run: HeldRun): void
  /** The body has ended: no beat touches the row any more; resolves when none does. */
  settling(id: string): Promise<void>
  remove(id: string): void
  /** Tells the run of this task to end, if it is here. */
  cancel(id: string): void
  all(): HeldRun[]
  close(): void
}

interface Entry extends HeldRun {
  settling: boolean
  beating: Promise<void> | undefined
  progress: RunHandle['progress']
}

const liveMs = 500

export function createHeldRuns(options: { db: Db; log: Log; beatMs: number }): HeldRuns {
  const { db, log } = options
  const runs = new Map<string, Entry>()
  const news = (entry: Entry) => entry.handle.pendingLines() > 0 || entry.handle.progress !== entry.progress
  const beatTimer = setInterval(() => beat(() => true), options.beatMs)
  // One that is over within this time is written once, with its end.
  const liveTimer = setInterval(() => beat(news), liveMs)

  function beat(which: (entry: Entry) => boolean): void {
    const entries = [...runs.values()].filter(entry => !entry.settling && !entry.beating && which(entry))
    if (entries.length === 0) return
    const beating = write(entries)
    for (const entry of entries) entry.beating = beating
  }

  async function write(entries: Entry[]): Promise<void> {
    const claims = entries.map(claimOf)
    try {
      const held = await beatJobs(db, claims)
      for (const [at, { job, handle }] of entries.entries()) {
        const found = held.get(job.id)
        if (found === undefined) {
          handle.putBackLines(claims[at]!.lines)
          handle.stop('claim lost')
        } else if (found.cancelled) handle.stop('cancelled')
      }
    } catch (error) {
      // It says nothing about the claims.
      for (const [at, { handle }] of entries.entries()) handle.putBackLines(claims[at]!.lines)
      log.debug('heartbeat of tasks not written', { error: errorText(error) })
    } finally {
      for (const entry of entries) entry.beating = undefined
    }
  }

  return {
    get size() {
      return runs.size
    },
    add(run) {
      runs.set(run.job.id, { ...run, settling: false, beating: undefined, progress: null })
    },
    async settling(id) {
      const entry = runs.get(id)
      if (entry === undefined) return
      entry.settling = true
      await entry.beating
    },
    remove: id => void runs.delete(id),
    cancel: id => runs.get(id)?.handle.stop('cancelled'),
    all: () => [...runs.values()],
    close() {
      clearInterval(beatTimer)
      clearInterval(liveTimer)
    },
  }
}

function claimOf(entry: Entry): HeldClaim {
  const { queue, job, handle } = entry
  entry.progress = handle.progress
  return {
    queue,
    id: job.id,
    retryCount: job.retryCount,
    runId: handle.runId,
    progress: handle.progress,
    lines: handle.takeLines(),
  }
}
