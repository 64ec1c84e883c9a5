// Putting a task into the queue, in the caller's transaction when there is one.
import { randomUUID } from 'node:crypto'
import type { PgBoss } from 'pg-boss'
import { Value } from 'typebox/value'
import type { Bus } from '../bus.ts'
import { type Db, sql, type Tx } from '../db.ts'
import type { SettledActor } from './actor.ts'
import { bossDatabase } from './boss.ts'
import { bossSchema } from './boss-schema.ts'
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
  /** Default: a new one. */
  id?: string
}

export interface Enqueued {
  id: string
  /** One that waits already does it. */
  deduplicated: boolean
}

/**
 * @throws Error for a payload the actor does not take: a mistake of the caller
 */
export async function enqueueTask(
  parts: { boss: PgBoss; bus: Bus; heartbeatSeconds?: number },
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
    ...(parts.heartbeatSeconds === undefined ? {} : { heartbeatSeconds: parts.heartbeatSeconds }),
  })
  const ring = () => {
    if (delayMs <= furthestBellMs) parts.bus.publish(bellOf(actor.queue), delayMs > 0 ? { in: delayMs } : {})
  }
  for (;;) {
    const sent = await parts.boss.send(actor.queue, envelope, { ...send, db: bossDatabase(on) })
    if (sent !== null) {
      if ('afterCommit' in on) on.afterCommit(ring)
      else ring()
      return { id: sent, deduplicated: false }
    }
    const twin = await holdTwin(on, actor.queue, key)
    if (twin !== undefined) return { id: twin, deduplicated: true }
    // It was claimed between the two statements: ours is needed after all.
  }
}

export function dedupeKey(actor: string, dedupe: string): string {
  return `${actor}/${dedupe}`
}

/**
 * The waiting twin, locked: it cannot be claimed before the caller's transaction ends, and so sees what this transaction changes.
 */
async function holdTwin(on: Db | Tx, queue: string, key: string): Promise<string | undefined> {
  const row = await on.first(sql<{ id: string }>`
    select id from ${sql.raw(bossSchema(on.schema))}.job
    where name = ${queue} and singleton_key = ${key} and state = 'created' and policy = 'short' for no key update`)
  return row?.id
}
