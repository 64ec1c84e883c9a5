// What follows from the end of a run: it is over, it is tried again, or it goes back as if nobody had touched it.
import { Value } from 'typebox/value'
import { errorText } from '../../log.ts'
import { FinalFailure, type SettledActor } from './actor.ts'
import { type ClaimedJob, type Envelope, retryDelayMs } from './job.ts'
import type { StopReason } from './run-job.ts'
import type { RunLog } from './run-log.ts'
import type { RunRecord, Settlement } from './settle.ts'

export type Outcome = Omit<Settlement, 'queue' | 'id' | 'retryCount'>

export interface RunEnd {
  actor: SettledActor
  envelope: Envelope
  job: ClaimedJob
  runId: string
  runLog: RunLog
  afterLoss: string | null
  startedOn: Date
  durationMs: number
  /** `overdue`: told to end, and still running */
  end: { result: unknown; error: unknown } | 'overdue'
  reason: StopReason | undefined
}

const maxResult = 8192

/** @returns null when the claim is gone: nothing of the run counts */
export function outcomeOf(run: RunEnd): Outcome | null {
  const { actor, job, runLog, end, reason } = run
  if (reason === 'claim lost') return null
  if (end !== 'overdue' && end.error === undefined)
    return ended(record(run, { failure: null, result: end.result }))
  if (reason === 'worker stops') return { next: 'return', delayMs: 0, run: null }
  if (reason === 'cancelled') {
    runLog.log.warning('task cancelled', end === 'overdue' ? { left_behind: true } : {})
    return ended({ ...record(run, { failure: 'cancelled' }), state: 'cancelled', status: 'cancelled' })
  }
  if (end === 'overdue') {
    // It may still be running here: trying again would run it twice at once.
    runLog.log.error('task did not end at its time limit and is left behind', {
      limit_seconds: actor.timeLimitSeconds,
    })
    return ended(record(run, { failure: 'time limit, not heeded' }))
  }
  const failure = reason === 'time limit' ? `time limit of ${actor.timeLimitSeconds} s` : errorText(end.error)
  const attempt = job.retryCount + 1
  if (attempt > actor.retries || end.error instanceof FinalFailure) {
    runLog.log.error('task failed', { error: failure })
    return ended(record(run, { failure }))
  }
  const delayMs = retryDelayMs(actor.backoffSeconds, job.retryCount)
  runLog.log.warning('attempt failed, the task will be tried again', {
    error: failure,
    attempts: `${attempt} of ${actor.retries + 1}`,
    retry_in_ms: delayMs,
  })
  return { next: 'retry', delayMs, run: { ...record(run, { failure }), final: false } }
}

function ended(run: RunRecord): Outcome {
  return { next: 'end', delayMs: 0, run }
}

function record(run: RunEnd, how: { failure: string | null; result?: unknown }): RunRecord {
  return {
    id: run.runId,
    envelope: run.envelope,
    priority: run.job.priority,
    final: true,
    state: how.failure === null ? 'done' : 'rejected',
    status: how.failure === null ? (run.runLog.worst() ?? 'done') : 'error',
    afterLoss: run.afterLoss !== null,
    abandoned: run.end === 'overdue',
    error: how.failure,
    result: small(how.result),
    createdOn: run.job.createdOn,
    startedOn: run.startedOn,
    durationMs: run.durationMs,
    logs: [],
  }
}

/** No attempt will ever succeed: the payload stays what it is. */
export class InvalidPayload extends FinalFailure {
  constructor(actor: SettledActor, payload: unknown) {
    const [first] = Value.Errors(actor.payload, payload)
    super(
      `the payload is not what "${actor.name}" takes: ${first?.instancePath || '/'} ${first?.message ?? ''}`.trim(),
    )
    this.name = 'InvalidPayload'
  }
}

/** What the supervisor wrote when it took the job from a worker that was silent or too slow. */
export function lossBefore(output: unknown): string | null {
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
