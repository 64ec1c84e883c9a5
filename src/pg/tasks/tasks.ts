// Background tasks. Jobs and schedules are pg-boss's, history and figures ours (migration `tasks`); what rings, runs and settles is
// here. Every process may enqueue; those that work also run, supervise and keep the clock.
import type { Log } from '../../log.ts'
import type { Beat } from '../beat.ts'
import type { Bus } from '../bus.ts'
import { type Db, sql, type Tx } from '../db.ts'
import type { Leases } from '../leases.ts'
import { type AnyActor, actorRegistry, type SettledActor } from './actor.ts'
import { type BossTimers, createBoss, startBoss } from './boss.ts'
import { bossSchema } from './boss-schema.ts'
import { bellOf } from './doorbell.ts'
import { type Enqueued, type EnqueueOptions, enqueueTask } from './enqueue.ts'
import { ensurePartitions } from './partitions.ts'
import { syncSchedules } from './schedules.ts'
import { createWorker, type TaskWorker, type WorkerOptions } from './worker.ts'

export interface Tasks {
  readonly actors: ReadonlyMap<string, SettledActor>
  /**
   * Puts a task into the queue. With a transaction it exists if and only if that commits; workers are told right after.
   * @throws Error for an actor that does not exist or a payload it does not take
   */
  enqueue(on: Tx | Db, actor: string, payload: unknown, options?: EnqueueOptions): Promise<Enqueued>
  /**
   * Runs an ended task again, under its id, or one that waits now.
   * @returns false when there is no such task, or it runs
   */
  retry(tx: Tx, id: string): Promise<boolean>
  /** Begins to work (role `work`): partitions and schedules are brought up to date, then jobs are claimed. */
  start(): Promise<void>
  /** Claims nothing more, waits for what runs, hands the rest to other workers. */
  close(): Promise<void>
}

export interface TasksOptions
  extends Partial<Pick<WorkerOptions, 'concurrency' | 'pollMs' | 'beatMs' | 'shutdownMs' | 'graceMs'>> {
  db: Db
  bus: Bus
  beat: Beat
  leases: Leases
  actors: readonly AnyActor[]
  log: Log
  role: 'enqueue' | 'work'
  timers?: BossTimers
  /** Silence after which a worker counts as lost, 10 at least. Default 20. */
  heartbeatSeconds?: number
}

export function createTasks(options: TasksOptions): Tasks {
  const { db, bus, role, log } = options
  const actors = actorRegistry(options.actors)
  const boss = createBoss({
    db,
    role,
    log,
    ...(options.timers === undefined ? {} : { timers: options.timers }),
  })
  const sender = {
    boss,
    bus,
    ...(options.heartbeatSeconds === undefined ? {} : { heartbeatSeconds: options.heartbeatSeconds }),
  }
  let worker: TaskWorker | undefined
  let starting: Promise<void> | undefined

  const enqueue: Tasks['enqueue'] = (on, name, payload, settings) => {
    const actor = actors.get(name)
    if (actor === undefined) throw new Error(`there is no actor "${name}"`)
    return enqueueTask(sender, on, actor, payload, settings)
  }

  async function start(): Promise<void> {
    await ensurePartitions(db)
    await syncSchedules(db, actors, options.beat.node.version)
    await startBoss(boss)
    worker = createWorker({ ...options, boss, actors, node: options.beat.node.name })
  }

  return {
    actors,
    enqueue: async (...args) => enqueue(...args),
    async retry(tx, id) {
      const waiting = await hasten(tx, id)
      if (waiting !== undefined) {
        tx.afterCommit(() => bus.publish(bellOf(waiting)))
        return true
      }
      const ended = await reopen(tx, id)
      const actor = ended === undefined ? undefined : actors.get(ended.actor)
      if (ended === undefined || actor === undefined) return false
      const { payload, priority, uid, object } = ended
      await enqueueTask(sender, tx, actor, payload, {
        id,
        priority,
        uid,
        ...(object === null ? {} : { object }),
      })
      return true
    },
    start() {
      if (role !== 'work') throw new Error('this process only enqueues tasks')
      starting ??= start()
      return starting
    },
    async close() {
      await starting?.catch(() => {})
      await worker?.close()
      if (role === 'work') await boss.stop({ close: false, graceful: false })
    },
  }
}

/** A waiting job starts now. @returns its queue */
async function hasten(tx: Tx, id: string): Promise<string | undefined> {
  const row = await tx.first(sql<{ name: string }>`
    update ${sql.raw(bossSchema(tx.schema))}.job set start_after = now() where id = ${id} and state < 'active' returning name`)
  return row?.name
}

interface EndedRow {
  actor: string
  payload: unknown
  priority: number
  uid: string
  object: { app: string; model: string; id: string } | null
}

/** The run that settled the task becomes one of its earlier ones. */
async function reopen(tx: Tx, id: string): Promise<EndedRow | undefined> {
  return await tx.first(sql<EndedRow>`
    update ${tx.t('task_runs')} set final = false where task_id = ${id} and final
    returning actor, payload, priority, uid, object`)
}
