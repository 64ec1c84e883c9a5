// One attempt at one task: payload checked, time limit kept, lines collected, and what follows from its end.
import { randomUUID } from 'node:crypto'
import { Value } from 'typebox/value'
import { errorText, type Log } from '../../log.ts'
import type { SettledActor } from './actor.ts'
import { type ClaimedJob, type Envelope, retryDelayMs } from './job.ts'
import { createRunLog } from './run-log.ts'
import type { RunRecord, Settlement } from './settle.ts'

/** Why a run was told to end. */
export type StopReason = 'time limit' | 'worker stops' | 'claim lost'

export interface RunHandle {
  /** Ends the run; the first reason counts. */
  stop(reason: StopReason): void
  readonly progress: { done: number; total: number } | null
  /** What is to be settled; null when the claim is gone. */
  readonly outcome: Promise<Omit<Settlement, 'queue' | 'id' | 'retryCount'> | null>
  /** Resolves when the body has really ended, which may be later than the outcome. */
  readonly ended: Promise<void>
}

const maxResult = 8192
/** After the signal, for bodies that do not end on it. */
const defaultGraceMs = 10_000

/** Starts the attempt. */
export function runJob(options: {
  actor: SettledActor
  envelope: Envelope
  job: ClaimedJob
  log: Log
  graceMs?: number
}): RunHandle {
  const { actor, envelope, job } = options
  const abort = new AbortController()
  const startedOn = new Date()
  const began = performance.now()
  const attempt = job.retryCount + 1
  const runLog = createRunLog({
    log: options.log.child('authentik.tasks', { actor: actor.name, task: job.id, attempt }),
  })
  const overdue = Promise.withResolvers<'overdue'>()
  let reason: StopReason | undefined
  let over = false
  let grace: NodeJS.Timeout | undefined
  let progress: RunHandle['progress'] = null
  const limit = setTimeout(() => stop('time limit'), actor.timeLimitSeconds * 1000)

  const stop = (why: StopReason): void => {
    if (reason !== undefined || over) return
    reason = why
    abort.abort(new Error(`the task was stopped: ${why}`))
    grace = setTimeout(() => overdue.resolve('overdue'), options.graceMs ?? defaultGraceMs)
  }
  const lost = lossBefore(job.output)
  if (lost !== null) runLog.log.warning('the attempt before this one was lost', { cause: lost })

  const body = (async () => {
    if (!Value.Check(actor.payload, envelope.payload)) throw new InvalidPayload(actor, envelope.payload)
    return await actor.run({
      payload: envelope.payload,
      id: job.id,
      attempt,
      log: runLog.log,
      signal: abort.signal,
      progress: (done, total) => {
        progress = { done, total }
      },
    })
  })()
  const settled = body.then(
    result => ({ result, error: undefined }),
    (error: unknown) => ({ result: null, error }),
  )

  const record = (final: boolean, failure: string | null, result: unknown): RunRecord => ({
    id: randomUUID(),
    envelope,
    priority: job.priority,
    final,
    state: failure === null ? 'done' : 'rejected',
    status: failure === null ? (runLog.worst() ?? 'done') : 'error',
    afterLoss: lost !== null,
    error: failure,
    result: small(result),
    createdOn: job.createdOn,
    startedOn,
    durationMs: performance.now() - began,
    logs: runLog.lines,
  })

  const outcome = (async () => {
    const end = await Promise.race([settled, overdue.promise])
    over = true
    clearTimeout(limit)
    clearTimeout(grace)
    if (reason === 'claim lost') return null
    if (end === 'overdue') {
      if (reason === 'worker stops') return { next: 'return' as const, delayMs: 0, run: null }
      // It may still be running here: trying again would run it twice at once.
      runLog.log.error('task did not end at its time limit and is given up', {
        limit_seconds: actor.timeLimitSeconds,
      })
      return { next: 'end' as const, delayMs: 0, run: record(true, 'time limit, not heeded', null) }
    }
    if (end.error === undefined)
      return { next: 'end' as const, delayMs: 0, run: record(true, null, end.result) }
    if (reason === 'worker stops') return { next: 'return' as const, delayMs: 0, run: null }
    const failure =
      reason === 'time limit' ? `time limit of ${actor.timeLimitSeconds} s` : errorText(end.error)
    const isLast = attempt > actor.retries || end.error instanceof InvalidPayload
    if (isLast) {
      runLog.log.error('task failed', { error: failure })
      return { next: 'end' as const, delayMs: 0, run: record(true, failure, null) }
    }
    const delayMs = retryDelayMs(actor.backoffSeconds, job.retryCount)
    runLog.log.warning('attempt failed, the task will be tried again', {
      error: failure,
      attempts: `${attempt} of ${actor.retries + 1}`,
      retry_in_ms: delayMs,
    })
    return { next: 'retry' as const, delayMs, run: record(false, failure, null) }
  })()

  return {
    stop,
    get progress() {
      return progress
    },
    outcome,
    ended: settled.then(() => {}),
  }
}

/** No attempt will ever succeed: the payload stays what it is. */
class InvalidPayload extends Error {
  constructor(actor: SettledActor, payload: unknown) {
    const [first] = Value.Errors(actor.payload, payload)
    super(
      `the payload is not what "${actor.name}" takes: ${first?.instancePath || '/'} ${first?.message ?? ''}`.trim(),
    )
    this.name = 'InvalidPayload'
  }
}

/** What the supervisor wrote when it took the job from a worker that was silent or too slow. */
function lossBefore(output: unknown): string | null {
  if (output === null || typeof output !== 'object' || !('value' in output)) return null
  const { value } = output
  if (value === null || typeof value !== 'object' || !('message' in value)) return null
  return String(value.message)
}

function small(result: unknown): unknown {
  if (result === undefined || result === null) return null
  const text = JSON.stringify(result)
  return text === undefined || text.length > maxResult ? { truncated: true } : result
}
