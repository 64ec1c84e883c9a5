// One attempt at one task: payload checked, time limit kept, lines collected, and what follows from its end.
import { randomUUID } from 'node:crypto'
import { Value } from 'typebox/value'
import type { Log } from '../../log.ts'
import type { RunContext, SettledActor } from './actor.ts'
import type { Enqueue } from './enqueue.ts'
import { startIsolated } from './isolated.ts'
import type { ClaimedJob, Envelope } from './job.ts'
import { createRunLog, type LogLine } from './run-log.ts'
import { InvalidPayload, lossBefore, type Outcome, outcomeOf } from './run-outcome.ts'

/** Why a run was told to end. */
export type StopReason = 'time limit' | 'cancelled' | 'worker stops' | 'claim lost'

export interface RunHandle {
  readonly runId: string
  /** Ends the run; the first reason counts. */
  stop(reason: StopReason): void
  readonly progress: { done: number; total: number } | null
  /** Number of lines that are not written yet. */
  pendingLines(): number
  takeLines(): LogLine[]
  /** Lines that could not be written. */
  putBackLines(lines: LogLine[]): void
  /** What is to be settled, its lines to be added; null when the claim is gone. */
  readonly outcome: Promise<Outcome | null>
  /** Resolves when the body has really ended, which may be later than the outcome. */
  readonly ended: Promise<void>
}

/** After the signal, for bodies that do not end on it. */
const defaultGraceMs = 10_000
/** For those that are then ended by force. */
const isolatedGraceMs = 1000

/** Starts the attempt. */
export function runJob(options: {
  actor: SettledActor
  envelope: Envelope
  job: ClaimedJob
  enqueue: Enqueue
  log: Log
  graceMs?: number
}): RunHandle {
  const { actor, envelope, job } = options
  const abort = new AbortController()
  const startedOn = new Date()
  const began = performance.now()
  const runId = randomUUID()
  const attempt = job.retryCount + 1
  const runLog = createRunLog({ log: options.log, fields: { actor: actor.name, task: job.id, attempt } })
  const overdue = Promise.withResolvers<'overdue'>()
  const grace = { timer: undefined as NodeJS.Timeout | undefined }
  let kill: (() => Promise<void>) | undefined
  let reason: StopReason | undefined
  let over = false
  let progress: RunHandle['progress'] = null
  const limit = setTimeout(() => stop('time limit'), actor.timeLimitSeconds * 1000)

  const stop = (why: StopReason): void => {
    if (reason !== undefined || over) return
    reason = why
    abort.abort(new Error(`the task was stopped: ${why}`))
    const graceMs = options.graceMs ?? defaultGraceMs
    if (actor.isolated === undefined) grace.timer = setTimeout(() => overdue.resolve('overdue'), graceMs)
    else grace.timer = setTimeout(() => void kill?.(), Math.min(graceMs, isolatedGraceMs))
  }
  const afterLoss = lossBefore(job.output)
  if (afterLoss !== null) runLog.log.warning('the attempt before this one was lost', { cause: afterLoss })

  const context: RunContext<unknown> = {
    payload: envelope.payload,
    id: job.id,
    attempt,
    log: runLog.log,
    signal: abort.signal,
    progress: (done, total) => {
      progress = { done, total }
    },
    enqueue: options.enqueue,
  }
  const body = async (): Promise<unknown> => {
    if (envelope.cancelled) {
      stop('cancelled')
      throw new Error('cancelled before it began')
    }
    if (!Value.Check(actor.payload, envelope.payload)) throw new InvalidPayload(actor, envelope.payload)
    if (actor.isolated === undefined) return await actor.run(context)
    const thread = startIsolated(actor.isolated, context)
    kill = thread.kill
    return await thread.done
  }
  const settled = body().then(
    result => ({ result, error: undefined }),
    (error: unknown) => ({ result: null, error: error ?? new Error('the task failed without an error') }),
  )
  const outcome = (async () => {
    const end = await Promise.race([settled, overdue.promise])
    over = true
    clearTimeout(limit)
    clearTimeout(grace.timer)
    const times = { startedOn, durationMs: performance.now() - began }
    return outcomeOf({ actor, envelope, job, runId, runLog, afterLoss, ...times, end, reason })
  })()

  return {
    runId,
    stop,
    get progress() {
      return progress
    },
    pendingLines: runLog.pending,
    takeLines: runLog.take,
    putBackLines: runLog.putBack,
    outcome,
    ended: settled.then(() => {}),
  }
}
