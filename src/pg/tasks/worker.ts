// The working half: claims jobs, keeps their claims alive, runs them, and hands back what it cannot finish.
import { setTimeout as sleep } from 'node:timers/promises'
import { errorText, type Log } from '../../log.ts'
import type { Bus } from '../bus.ts'
import type { Db } from '../db.ts'
import type { Lease, Leases } from '../leases.ts'
import { type QueueName, queues, type SettledActor } from './actor.ts'
import { cancelType } from './cancel.ts'
import { claimJobs } from './claim.ts'
import { bellOf, furthestBellMs } from './doorbell.ts'
import type { Enqueue } from './enqueue.ts'
import { createHeldRuns } from './held-runs.ts'
import { type ClaimedJob, type Envelope, readEnvelope } from './job.ts'
import { createLane, type Lane } from './lane.ts'
import { createMemoryGuard, type MemoryGuard } from './memory-guard.ts'
import { type RunHandle, runJob } from './run-job.ts'
import type { LogLine } from './run-log.ts'
import type { Outcome } from './run-outcome.ts'
import { createSettler } from './settler.ts'

export interface WorkerOptions {
  db: Db
  bus: Bus
  leases: Leases
  actors: Map<string, SettledActor>
  enqueue: Enqueue
  log: Log
  /** Shown with each run. */
  node: string
  /** Most runs at a time. Default 4 and 2. */
  concurrency?: Partial<Record<QueueName, number>>
  /** Default 5,000. */
  pollMs?: number
  /** Default 5,000; well below the heartbeat a job asks for. */
  beatMs?: number
  /** How long `close` waits for what runs. Default 30,000. */
  shutdownMs?: number
  /** What a run may take to end once it is told to. Default 10,000. */
  graceMs?: number
  /** Default: of this process and its control group. */
  memory?: MemoryGuard
}

export interface TaskWorker {
  running(): number
  /** Claims nothing more, waits for what runs, tells the rest to end and hands it to other workers at once. */
  close(): Promise<void>
}

const standardConcurrency: Record<QueueName, number> = { default: 4, slow: 2 }
/** No worker here knows the actor: a newer one may. */
const parkedMs = 60_000
/** The actor's limit is reached by others. */
const crowdedMs = 2000
/** Ended, and waiting for the database: beyond that, nothing more is claimed. */
const mostUnsettled = 500

export function createWorker(options: WorkerOptions): TaskWorker {
  const { db, bus, leases, actors, enqueue, log } = options
  const settler = createSettler({ db, node: options.node, log })
  const memory = options.memory ?? createMemoryGuard({ log })
  const runs = createHeldRuns({ db, log, beatMs: options.beatMs ?? 5000 })
  const unknown = new Set<string>()
  const lanes = new Map<QueueName, Lane>()
  let unsettled = 0
  let closing = false

  for (const queue of queues) {
    const limits = limitsOf(actors, queue)
    const lane = createLane({
      queue,
      slots: options.concurrency?.[queue] ?? standardConcurrency[queue],
      pollMs: options.pollMs ?? 5000,
      claim: count => claimJobs(db, queue, count, limits),
      start: job => start(queue, job),
      giveBack: async jobs => void (await Promise.all(jobs.map(job => giveBack(queue, job, 0)))),
      mayClaim: () => unsettled < mostUnsettled && !memory.isTight(),
      passesOver: Object.keys(limits).length > 0,
      log,
    })
    lanes.set(queue, lane)
  }
  const stopListening = [
    ...queues.map(queue =>
      bus.subscribe(bellOf(queue), body => lanes.get(queue)?.ring(typeof body.in === 'number' ? body.in : 0)),
    ),
    bus.subscribe(cancelType, body => runs.cancel(String(body.id))),
  ]

  /** Resolves when the slot is free: at the end of the body, not of the statement that stores it. */
  async function start(queue: QueueName, job: ClaimedJob): Promise<void> {
    const envelope = readEnvelope(job.data)
    const actor = envelope === null ? undefined : actors.get(envelope.actor)
    if (envelope === null || actor === undefined) return void park(queue, job, envelope)
    const slot = await takeSlot(actor)
    if (slot === null) return void giveBack(queue, job, crowdedMs * (0.5 + Math.random()))
    const { graceMs } = options
    const handle = runJob({
      actor,
      envelope,
      job,
      enqueue,
      log,
      ...(graceMs === undefined ? {} : { graceMs }),
    })
    runs.add({ queue, job, handle })
    slot?.signal.addEventListener('abort', () => handle.stop('claim lost'), { once: true })
    const outcome = await handle.outcome
    void finish(queue, job, handle, outcome)
      .then(async () => {
        // A body that goes on past its end keeps its place, so that there are never more than the actor's limit.
        if (slot === undefined) return
        await handle.ended
        await slot.release()
        lanes.get(queue)?.ring()
      })
      .catch(error => log.error('task not settled', { task: job.id, error: errorText(error) }))
  }

  async function finish(
    queue: QueueName,
    job: ClaimedJob,
    handle: RunHandle,
    outcome: Outcome | null,
  ): Promise<void> {
    try {
      await runs.settling(job.id)
      if (outcome === null) log.warning('task was given to another worker', { task: job.id })
      else await settle(queue, job, withLines(outcome, handle.takeLines()))
    } finally {
      runs.remove(job.id)
      if (job.keyed) lanes.get(queue)?.ring()
      else lanes.get(queue)?.freed()
    }
  }

  async function settle(queue: QueueName, job: ClaimedJob, outcome: Outcome): Promise<void> {
    unsettled++
    const held = await settler.settle({ queue, id: job.id, retryCount: job.retryCount, ...outcome })
    unsettled--
    if (!held)
      log.warning('the claim of an ended task was lost, another worker may run it again', { task: job.id })
    else if (outcome.next === 'retry' && outcome.delayMs <= furthestBellMs)
      bus.publish(bellOf(queue), { in: outcome.delayMs })
    else if (outcome.next === 'return' && outcome.delayMs === 0) bus.publish(bellOf(queue))
  }

  function giveBack(queue: QueueName, job: ClaimedJob, delayMs: number): Promise<void> {
    return settle(queue, job, { next: 'return', delayMs, run: null })
  }

  /** Waits in the queue for a program that knows it, e.g. while a new version is rolled out. */
  async function park(queue: QueueName, job: ClaimedJob, envelope: Envelope | null): Promise<void> {
    const name = envelope?.actor ?? '(none)'
    if (!unknown.has(name))
      log.warning('task of an actor that this program does not know, it stays waiting', { actor: name })
    unknown.add(name)
    await giveBack(queue, job, parkedMs * (0.75 + Math.random() / 2))
  }

  /** @returns undefined when the actor has no limit, null when others hold all its slots, or they cannot be asked for now */
  async function takeSlot(actor: SettledActor): Promise<Lease | null | undefined> {
    if (actor.limit === undefined) return undefined
    for (let slot = 0; slot < actor.limit; slot++) {
      const key = `task:${actor.name}:${slot}`
      const lease = await leases.acquire(key, { info: { node: options.node } }).catch(error => {
        log.warning('slot of a task not taken', { actor: actor.name, error: errorText(error) })
        return null
      })
      if (lease !== null) return lease
    }
    return null
  }

  async function idle(timeoutMs: number): Promise<void> {
    const until = Date.now() + timeoutMs
    while (runs.size > 0 && Date.now() < until) await sleep(20)
  }

  return {
    running: () => runs.size,
    async close() {
      if (closing) return
      closing = true
      for (const stop of stopListening) stop()
      await Promise.all([...lanes.values()].map(lane => lane.close()))
      await idle(options.shutdownMs ?? 30_000)
      if (runs.size > 0) {
        log.warning('tasks are stopped and handed to other workers', { tasks: runs.size })
        for (const { handle } of runs.all()) handle.stop('worker stops')
        await idle(options.graceMs ?? 10_000)
      }
      runs.close()
      await settler.close(5000)
    },
  }
}

function withLines(outcome: Outcome, logs: LogLine[]): Outcome {
  return outcome.run === null ? outcome : { ...outcome, run: { ...outcome.run, logs } }
}

function limitsOf(actors: Map<string, SettledActor>, queue: QueueName): Record<string, number> {
  const limited = [...actors.values()].filter(actor => actor.queue === queue && actor.limit !== undefined)
  return Object.fromEntries(limited.map(actor => [actor.name, actor.limit ?? 0]))
}
