// Leases: exclusive work for a while, across transactions and processes. A row names the holder, a fence number grows with every
// change of hands; the beat renews what is held here. Whoever must be exclusive also checks the fence where it writes
// (`where (select fence from leases where key = …) = …`), since a stopped process may wake up after its time.
import { randomUUID } from 'node:crypto'
import { errorText, type Log } from '../log.ts'
import type { Beat } from './beat.ts'
import type { Bus } from './bus.ts'
import { type Db, sql } from './db.ts'

export interface Lease {
  readonly key: string
  /** Grows whenever the lease changes hands; never repeats. */
  readonly fence: number
  /** Fires before others may take the lease: stop then, without a further write. */
  readonly signal: AbortSignal
  /** Gives it back; the next waiting process is told. Safe to call twice. */
  release(): Promise<void>
}

export interface AcquireOptions {
  /** How long it lasts without renewal; at least three beats. Default 30,000. */
  ttlMs?: number
  /** Shown in the admin view. */
  info?: Record<string, unknown>
  /** Wait for it until this fires, instead of giving up at once. */
  wait?: AbortSignal
}

export interface Leases {
  /** @returns null when somebody else holds it (or `wait` fired). @throws PgError when the database cannot be asked */
  acquire(key: string, options?: AcquireOptions): Promise<Lease | null>
  /** Releases everything held here; those who wait get null. */
  close(): Promise<void>
}

export interface LeaseFigures {
  /** held by this process now */
  held: number
  acquired: number
  /** given up because they could not be renewed in time */
  lost: number
}

export interface WatchedLeases extends Leases {
  readonly figures: LeaseFigures
}

interface Held {
  holder: string
  ttlMs: number
  abort: AbortController
  expiry: NodeJS.Timeout | undefined
}

/** A lease is given up this part of its time before it ends, so that the holder stops before another can begin. */
const safety = 0.2
const releasedType = 'lease.released'

/**
 * @param options.bus tells those who wait that a lease was released; without it they wait until it would have expired
 */
export function createLeases(options: { db: Db; beat: Beat; bus?: Bus; log: Log }): WatchedLeases {
  const { db, beat, bus, log } = options
  const held = new Map<string, Held & { key: string }>()
  const wakers = new Map<string, Set<() => void>>()
  let closed = false
  let acquired = 0
  let lost = 0

  const stopListening = bus?.subscribe(releasedType, body => {
    for (const wake of wakers.get(String(body.key)) ?? []) wake()
  })
  const leaveBeat = beat.join({
    renewals: () => [...held.values()].map(({ key, holder, ttlMs }) => ({ key, holder, ttlMs })),
    renewed(holders, sentAt) {
      for (const lease of held.values()) {
        if (holders.has(lease.holder)) extend(lease, sentAt)
      }
    },
  })

  /** The database counts from when it saw the statement, which is later than when we sent it. */
  function extend(lease: Held & { key: string }, sentAt: number): void {
    clearTimeout(lease.expiry)
    const left = sentAt + lease.ttlMs * (1 - safety) - performance.now()
    lease.expiry = setTimeout(() => {
      lost++
      log.warning('lease lost, it could not be renewed in time', { lease: lease.key })
      forget(lease)
    }, left)
  }

  function forget(lease: Held): void {
    held.delete(lease.holder)
    clearTimeout(lease.expiry)
    lease.abort.abort(new Error('the lease has ended'))
  }

  async function tryAcquire(key: string, ttlMs: number, info: Record<string, unknown>) {
    const holder = randomUUID()
    const sentAt = performance.now()
    const row = await takeLease(db, { key, holder, node: beat.node.id, info, ttlMs })
    if (row?.fence == null) return { lease: null, leftMs: Number(row?.left_ms ?? 0) }
    const entry = { key, holder, ttlMs, abort: new AbortController(), expiry: undefined }
    held.set(holder, entry)
    acquired++
    extend(entry, sentAt)
    return { lease: leaseOf(key, Number(row.fence), entry), leftMs: 0 }
  }

  function leaseOf(key: string, fence: number, entry: Held & { key: string }): Lease {
    return {
      key,
      fence,
      signal: entry.abort.signal,
      async release() {
        if (!held.has(entry.holder)) return
        forget(entry)
        await giveBack(db, key, entry.holder).catch(error => {
          log.warning('lease not released, it expires by itself', { lease: key, error: errorText(error) })
        })
        bus?.publish(releasedType, { key })
      },
    }
  }

  /** Sleeps until the lease would expire, is released, or `signal` fires. */
  async function sleepUntilFree(key: string, leftMs: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const waiting = wakers.get(key) ?? new Set()
    wakers.set(key, waiting.add(resolve))
    const timer = setTimeout(resolve, leftMs + 50 + Math.random() * 200)
    signal.addEventListener('abort', () => resolve(), { once: true })
    await promise
    clearTimeout(timer)
    waiting.delete(resolve)
    if (waiting.size === 0) wakers.delete(key)
  }

  return {
    get figures() {
      return { held: held.size, acquired, lost }
    },
    async acquire(key, settings = {}) {
      const ttlMs = settings.ttlMs ?? 30_000
      if (ttlMs < 3 * beat.intervalMs) {
        throw new RangeError(`a lease of ${ttlMs} ms cannot be renewed by a beat every ${beat.intervalMs} ms`)
      }
      for (;;) {
        const { lease, leftMs } = await tryAcquire(key, ttlMs, settings.info ?? {})
        if (lease !== null && closed) await lease.release()
        if (closed) return null
        if (lease !== null || settings.wait === undefined || settings.wait.aborted) return lease
        await sleepUntilFree(key, leftMs, settings.wait)
        if (settings.wait.aborted || closed) return null
      }
    },
    async close() {
      closed = true
      leaveBeat()
      stopListening?.()
      for (const waiting of wakers.values()) for (const wake of waiting) wake()
      for (const lease of [...held.values()]) {
        forget(lease)
        await giveBack(db, lease.key, lease.holder).catch(() => {})
        bus?.publish(releasedType, { key: lease.key })
      }
    },
  }
}

interface TakenRow {
  /** null when somebody else holds it */
  fence: string | null
  left_ms: number | null
}

/** Takes the lease if it is free or expired; else tells for how long it is held. No row: it was taken this very moment. */
async function takeLease(
  db: Db,
  lease: { key: string; holder: string; node: string; info: Record<string, unknown>; ttlMs: number },
): Promise<TakenRow | undefined> {
  return await db.first(sql<TakenRow>`
    with taken as (
      insert into ${db.t('leases')} as l (key, holder, node, fence, info, expires_at)
      values (${lease.key}, ${lease.holder}, ${lease.node}, 1, ${JSON.stringify(lease.info)},
              now() + ${lease.ttlMs}::float8 * interval '1 ms')
      on conflict (key) do update set holder = excluded.holder, node = excluded.node, fence = l.fence + 1,
        info = excluded.info, acquired_at = now(), expires_at = excluded.expires_at
      where l.expires_at <= now()
      returning fence)
    select fence, null::float8 as left_ms from taken
    union all
    select null, extract(epoch from expires_at - now())::float8 * 1000 from ${db.t('leases')}
    where key = ${lease.key} and not exists (select from taken)`)
}

/** The row stays, so that its fence is never used again. */
async function giveBack(db: Db, key: string, holder: string): Promise<void> {
  await db.count(
    sql`update ${db.t('leases')} set expires_at = now() where key = ${key} and holder = ${holder}`,
  )
}
