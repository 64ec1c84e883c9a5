// The working half: claims jobs, keeps their claims alive, runs them, and hands back what it cannot finish.
import { setTimeout as sleep } from 'node:timers/promises'
import type { PgBoss } from 'pg-boss'
import { errorText, type Log } from '../../log.ts'
import type { Bus } from '../bus.ts'
import type { Db } from '../db.ts'
import type { Lease, Leases } from '../leases.ts'
import { type QueueName, queues, type SettledActor } from './actor.ts'
import { bellOf, furthestBellMs } from './doorbell.ts'
import { type ClaimedJob, type Envelope, readEnvelope, tierOf } from './job.ts'
import { createPoller, type Poller } from './poller.ts'
import { type RunHandle, runJob } from './run-job.ts'
import { beatJobs, type Settlement } from './settle.ts'
import { createSettler } from './settler.ts'

export interface WorkerOptions {
  db: Db
  boss: PgBoss
  bus: Bus
  leases: Leases
  actors: Map<string, SettledActor>
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
}

export interface TaskWorker {
  running(): number
  /** Claims nothing more, waits for what runs, tells the rest to end and hands it to other workers at once. */
  close(): Promise<void>
}

interface Running {
  job: ClaimedJob
  queue: QueueName
  handle: RunHandle
}

const standardConcurrency: Record<QueueName, number> = { default: 4, slow: 2 }
/** No worker here knows the actor: a newer one may. */
const parkedMs = 60_000
/** The actor's limit is reached by others. */
const crowdedMs = 2000

export function createWorker(options: WorkerOptions): TaskWorker {
  const { db, boss, bus, leases, actors, log } = options
  const settler = createSettler({ db, node: options.node, log })
  const running = new Map<string, Running>()
  const busy: Record<QueueName, number> = { default: 0, slow: 0 }
  const unknown = new Set<string>()
  const pollers = new Map<QueueName, Poller>()
  let closing = false

  for (const queue of queues) {
    const most = options.concurrency?.[queue] ?? standardConcurrency[queue]
    const limits = tiersOf(actors, queue)
    const claim = async (count: number) => {
      const groups = limits === null ? {} : { groupConcurrency: limits }
      const jobs = await boss.fetch(queue, { batchSize: count, includeMetadata: true, ...groups })
      for (const job of jobs) void take(queue, job as unknown as ClaimedJob)
      // Jobs of an actor at its limit are passed over, so that only an empty answer says there is nothing more.
      return limits !== null && jobs.length > 0 ? count : jobs.length
    }
    const poller = createPoller({
      queue,
      pollMs: options.pollMs ?? 5000,
      room: () => most - busy[queue],
      claim,
      log,
    })
    pollers.set(queue, poller)
  }
  const stopListening = queues.map(queue =>
    bus.subscribe(bellOf(queue), body => pollers.get(queue)?.ring(typeof body.in === 'number' ? body.in : 0)),
  )
  const beatTimer = setInterval(() => void beat(), options.beatMs ?? 5000)

  async function take(queue: QueueName, job: ClaimedJob): Promise<void> {
    busy[queue]++
    try {
      await work(queue, job)
    } catch (error) {
      log.error('task not settled', { task: job.id, error: errorText(error) })
    } finally {
      busy[queue]--
      const name = readEnvelope(job.data)?.actor ?? ''
      if (actors.get(name)?.limit === undefined) pollers.get(queue)?.freed()
      else pollers.get(queue)?.ring()
    }
  }

  async function work(queue: QueueName, job: ClaimedJob): Promise<void> {
    const envelope = readEnvelope(job.data)
    const actor = envelope === null ? undefined : actors.get(envelope.actor)
    if (envelope === null || actor === undefined) return await park(queue, job, envelope)
    const slot = await takeSlot(actor)
    if (slot === null) return await giveBack(queue, job, crowdedMs * (0.5 + Math.random()))
    const handle = runJob({
      actor,
      envelope,
      job,
      log,
      ...(options.graceMs === undefined ? {} : { graceMs: options.graceMs }),
    })
    running.set(job.id, { job, queue, handle })
    if (slot !== undefined)
      slot.signal.addEventListener('abort', () => handle.stop('claim lost'), { once: true })
    try {
      const outcome = await handle.outcome
      if (outcome === null) {
        log.warning('task was given to another worker', { task: job.id, actor: actor.name })
        return
      }
      await settle(queue, job, outcome)
    } finally {
      running.delete(job.id)
      // A body that goes on past its end keeps its place, so that there are never more than the limit.
      await handle.ended
      await slot?.release()
    }
  }

  async function settle(
    queue: QueueName,
    job: ClaimedJob,
    outcome: Omit<Settlement, 'queue' | 'id' | 'retryCount'>,
  ) {
    const held = await settler.settle({ queue, id: job.id, retryCount: job.retryCount, ...outcome })
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

  async function beat(): Promise<void> {
    const beating = [...running.values()]
    if (beating.length === 0) return
    const claims = beating.map(({ queue, job, handle }) => ({
      queue,
      id: job.id,
      retryCount: job.retryCount,
      progress: handle.progress,
    }))
    try {
      const held = await beatJobs(db, claims)
      for (const { job, handle } of beating)
        if (running.has(job.id) && !held.has(job.id)) handle.stop('claim lost')
    } catch (error) {
      // It says nothing about the claims.
      log.debug('heartbeat of tasks not written', { error: errorText(error) })
    }
  }

  async function idle(timeoutMs: number): Promise<void> {
    const until = Date.now() + timeoutMs
    while (running.size > 0 && Date.now() < until) await sleep(20)
  }

  return {
    running: () => running.size,
    async close() {
      if (closing) return
      closing = true
      for (const stop of stopListening) stop()
      await Promise.all([...pollers.values()].map(poller => poller.close()))
      await idle(options.shutdownMs ?? 30_000)
      if (running.size > 0) {
        log.warning('tasks are stopped and handed to other workers', { tasks: running.size })
        for (const { handle } of running.values()) handle.stop('worker stops')
        await idle(options.graceMs ?? 10_000)
      }
      clearInterval(beatTimer)
      await settler.close(5000)
    },
  }
}

/** pg-boss claims no more of an actor than its limit, as far as it can see; the leases make it exact. */
function tiersOf(actors: Map<string, SettledActor>, queue: QueueName) {
  const limits = [...actors.values()]
    .filter(actor => actor.queue === queue)
    .flatMap(actor => actor.limit ?? [])
  if (limits.length === 0) return null
  const unlimited = 1_000_000
  return { default: unlimited, tiers: Object.fromEntries(limits.map(limit => [tierOf(limit), limit])) }
}
