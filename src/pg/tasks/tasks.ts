// Background tasks. Jobs are pg-boss's, which also finds those whose worker was lost; history, figures, schedules and what claims, runs
// and settles are ours. Every process may enqueue; those that work also run, supervise and keep the clock.
import type { Log } from '../../log.ts'
import type { Beat } from '../beat.ts'
import type { Bus } from '../bus.ts'
import { type Db, sql, type Tx } from '../db.ts'
import type { Leases } from '../leases.ts'
import { type AnyActor, actorRegistry, type SettledActor } from './actor.ts'
import { type BossTimers, createBoss } from './boss.ts'
import { bossSchema } from './boss-schema.ts'
import { cancelJob, cancelType } from './cancel.ts'
import { createDedupeCount } from './dedupe-count.ts'
import { createDepthGuard } from './depth-guard.ts'
import { bellOf } from './doorbell.ts'
import { type Enqueue, enqueueTask, type Sender } from './enqueue.ts'
import { ensurePartitions } from './partitions.ts'
import { createScheduler, type Scheduler } from './scheduler.ts'
import { type ScheduleRow, schedulesType, syncSchedules, updateSchedule } from './schedules.ts'
import { createWorker, type TaskWorker, type WorkerOptions } from './worker.ts'

export interface Tasks {
  readonly actors: ReadonlyMap<string, SettledActor>
  readonly enqueue: Enqueue
  /**
   * Runs an ended task again, under its id, or one that waits now.
   * @returns false when there is no such task, or it runs
   */
  retry(tx: Tx, id: string): Promise<boolean>
  /**
   * Ends a task: one that waits at once, one that runs within seconds. When both happen at once, the end of the run counts.
   * @returns false when there is no such task, or it has ended
   */
  cancel(tx: Tx, id: string): Promise<boolean>
  /**
   * Changes when a schedule runs, or pauses it.
   * @throws ScheduleError for a crontab that cannot be read
   */
  changeSchedule(
    tx: Tx,
    id: string,
    change: { crontab?: string | undefined; paused?: boolean | undefined },
  ): Promise<ScheduleRow | undefined>
  /** Begins to work (role `work`): partitions and schedules are brought up to date, then jobs are claimed. */
  start(): Promise<void>
  /** Claims nothing more, waits for what runs, hands the rest to other workers. */
  close(): Promise<void>
}

export interface TasksOptions
  extends Partial<
    Pick<WorkerOptions, 'concurrency' | 'pollMs' | 'beatMs' | 'shutdownMs' | 'graceMs' | 'memory'>
  > {
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
  /** Per queue; above it only critical tasks are taken. Default 100,000. */
  maxQueued?: number
  /** Told at most once a minute that tasks are refused. */
  onFull?: (queue: string, maxQueued: number) => Promise<void>
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
  const { maxQueued, onFull } = options
  const deduplicated = createDedupeCount({ db, log })
  const sender: Sender = {
    boss,
    bus,
    deduplicated,
    depth: createDepthGuard({
      log,
      ...(maxQueued === undefined ? {} : { maxQueued }),
      ...(onFull === undefined ? {} : { onFull }),
    }),
    ...(options.heartbeatSeconds === undefined ? {} : { heartbeatSeconds: options.heartbeatSeconds }),
  }
  let worker: TaskWorker | undefined
  let scheduler: Scheduler | undefined
  let starting: Promise<void> | undefined
  let ensuredFor = ''

  const enqueue: Enqueue = async (on, name, payload, settings) => {
    const actor = actors.get(name)
    if (actor === undefined) throw new Error(`there is no actor "${name}"`)
    return enqueueTask(sender, on, actor, payload, settings)
  }

  async function ensureToday(): Promise<void> {
    const today = new Date().toISOString().slice(0, 10)
    if (today === ensuredFor) return
    await ensurePartitions(db)
    ensuredFor = today
  }

  async function start(): Promise<void> {
    await ensurePartitions(db)
    await syncSchedules(db, actors, options.beat.node.version)
    await boss.start()
    worker = createWorker({ ...options, actors, enqueue, node: options.beat.node.name })
    scheduler = createScheduler({ db, bus, leases: options.leases, actors, enqueue, log })
    // The one who holds the clock may not know yet what is new.
    bus.publish(schedulesType)
  }

  return {
    actors,
    enqueue,
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
        critical: true,
        ...(object === null ? {} : { object }),
      })
      return true
    },
    async cancel(tx, id) {
      // Its history is written here, where no worker may have been for days.
      await ensureToday()
      const was = await cancelJob(tx, id, options.beat.node.name)
      if (was === 'running') tx.afterCommit(() => bus.publish(cancelType, { id }))
      return was !== undefined
    },
    async changeSchedule(tx, id, change) {
      const row = await updateSchedule(tx, id, change)
      if (row !== undefined) tx.afterCommit(() => bus.publish(schedulesType))
      return row
    },
    start() {
      if (role !== 'work') throw new Error('this process only enqueues tasks')
      starting ??= start()
      return starting
    },
    async close() {
      await starting?.catch(() => {})
      await scheduler?.close()
      await worker?.close()
      await deduplicated.close()
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
