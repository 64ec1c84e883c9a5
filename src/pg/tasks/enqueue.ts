// Putting a task into the queue, in the caller's transaction when there is one.
import { randomUUID } from 'node:crypto'
import type { PgBoss } from 'pg-boss'
import { Value } from 'typebox/value'
import type { Bus } from '../bus.ts'
import { type Db, sql, type Tx } from '../db.ts'
import type { SettledActor } from './actor.ts'
import { bossDatabase } from './boss.ts'
import { bossSchema } from './boss-schema.ts'
import type { DedupeCount } from './dedupe-count.ts'
import type { DepthGuard } from './depth-guard.ts'
import { bellOf, furthestBellMs } from './doorbell.ts'
import { type Envelope, sendOptions, type TaskObject } from './job.ts'

export interface EnqueueOptions {
  /** At most one task of the actor with this text waits; one more may run. Letters, digits and `_ . - / :`. */
  dedupe?: string
  /** Earliest start from now; with `dedupe`, what comes meanwhile is folded into the one that waits. */
  delayMs?: number
  /** Higher first. Default 0. */
  priority?: number
  /** Shown beside the actor. Default: `dedupe`. */
  uid?: string
  object?: TaskObject
  /** Taken although the queue is full. Default: what the actor says. */
  critical?: boolean
  /** Default: a new one. */
  id?: string
}

/**
 * Puts a task into the queue. With a transaction it exists if and only if that commits; workers are told right after.
 * @throws Error for an actor that does not exist or a payload it does not take
 * @throws QueueFullError
 */
export type Enqueue = (
  on: Tx | Db,
  actor: string,
  payload: unknown,
  options?: EnqueueOptions,
) => Promise<Enqueued>

export interface Enqueued {
  id: string
  /** One that waits already does it. */
  deduplicated: boolean
}

export interface Sender {
  boss: PgBoss
  bus: Bus
  depth: DepthGuard
  deduplicated: DedupeCount
  heartbeatSeconds?: number
}

/**
 * @throws Error for a payload the actor does not take: a mistake of the caller
 * @throws QueueFullError when too many wait and neither actor nor caller say it is critical
 */
export async function enqueueTask(
  sender: Sender,
  on: Db | Tx,
  actor: SettledActor,
  payload: unknown,
  options: EnqueueOptions = {},
): Promise<Enqueued> {
  if (!Value.Check(actor.payload, payload)) throw new Error(`not a payload for "${actor.name}"`)
  const { id = randomUUID(), dedupe, delayMs = 0, priority } = options
  const envelope: Envelope = {
    actor: actor.name,
    payload,
    uid: options.uid ?? dedupe ?? '',
    ...(options.object === undefined ? {} : { object: options.object }),
  }
  const key = dedupe === undefined ? id : dedupeKey(actor.name, dedupe)
  const send = sendOptions(actor, key, {
    id,
    delayMs,
    ...(priority === undefined ? {} : { priority }),
    ...(sender.heartbeatSeconds === undefined ? {} : { heartbeatSeconds: sender.heartbeatSeconds }),
  })
  const afterCommit = (action: () => void) => {
    if ('afterCommit' in on) on.afterCommit(action)
    else action()
  }
  const ring = () => {
    if (delayMs <= furthestBellMs) sender.bus.publish(bellOf(actor.queue), delayMs > 0 ? { in: delayMs } : {})
  }
  for (;;) {
    // Looked for first: where changes come in floods, nearly all have one.
    const twin = dedupe === undefined ? undefined : await holdTwin(on, actor.queue, key, delayMs)
    if (twin !== undefined) {
      afterCommit(() => sender.deduplicated.add(actor))
      if (twin.sooner) afterCommit(ring)
      return { id: twin.id, deduplicated: true }
    }
    if (!(options.critical ?? actor.critical ?? false)) await sender.depth.admit(on, actor.queue)
    const sent = await sender.boss.send(actor.queue, envelope, { ...send, db: bossDatabase(on) })
    if (sent !== null) {
      afterCommit(ring)
      return { id: sent, deduplicated: false }
    }
    // Somebody else's was filed between the two statements.
  }
}

export function dedupeKey(actor: string, dedupe: string): string {
  return `${actor}/${dedupe}`
}

/**
 * The waiting twin, locked: it cannot be claimed before the caller's transaction ends, and so sees what this transaction changes. It
 * starts when the earlier of the two would have.
 */
async function holdTwin(
  on: Db | Tx,
  queue: string,
  key: string,
  delayMs: number,
): Promise<{ id: string; sooner: boolean } | undefined> {
  const job = sql.raw(`${bossSchema(on.schema)}.job`)
  const startAt = sql`now() + ${delayMs} * interval '1 ms'`
  return await on.first(sql<{ id: string; sooner: boolean }>`
    with waiting as (
      (select id from ${job} where name = ${queue} and coalesce(singleton_key, '') = ${key} and state = 'created' and policy = 'short')
      union all
      (select id from ${job} where name = ${queue} and singleton_key = ${key} and singleton_key <> id::text and state = 'retry')
      limit 1
    ), twin as (
      select j.id, j.start_after from ${job} j where j.name = ${queue} and j.id = (select id from waiting) and j.state < 'active'
      for no key update
    ), moved as (
      update ${job} j set start_after = ${startAt} from twin t
      where j.name = ${queue} and j.id = t.id and t.start_after > ${startAt} returning j.id
    )
    select t.id, exists (select from moved) as sooner from twin t`)
}
