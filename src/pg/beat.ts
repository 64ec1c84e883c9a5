// The heartbeat of a process: every ten seconds one statement on the direct connection that says "alive" (table `nodes`), renews
// the leases held here, sends the bus's message to itself, and sweeps what the dead left behind.
import { errorText, type Log } from '../log.ts'
import type { Direct } from './direct.ts'
import { quoteName } from './migrations.ts'

export interface Node {
  /** New at every start. */
  id: string
  name: string
  /** `server`, `worker`, `start`, … */
  kind: string
  version: string
  /** Free facts for the admin view, e.g. addresses. */
  info?: Record<string, unknown>
}

/** A lease to be renewed, as the holder knows it. */
export interface Renewal {
  key: string
  holder: string
  ttlMs: number
}

/** What takes part in a beat. */
export interface BeatPart {
  /** Leases to renew. */
  renewals?(): Renewal[]
  /** Told which holders still hold, and when the statement was sent (ms, `performance.now`). */
  renewed?(holders: Set<string>, sentAt: number): void
  /** A notification to send, if any. */
  notification?(): { channel: string; payload: string } | undefined
  /** Told how many other processes are alive. */
  others?(count: number): void
  /** The beat was not answered. */
  missed?(error: unknown): void
}

export interface Beat {
  readonly node: Node
  readonly intervalMs: number
  /** @returns a function that ends the part */
  join(part: BeatPart): () => void
  /** Beats now, e.g. after something was taken that others shall see at once. */
  now(): Promise<void>
  /** Ends the presence, best effort. */
  close(): Promise<void>
}

/**
 * Starts the beat; the first follows at once when the direct connection is up, and again after each reconnect.
 * @param options.intervalMs default 10,000; ± 5 % so that processes started together drift apart
 */
export function createBeat(options: {
  direct: Direct
  schema: string
  node: Node
  log: Log
  intervalMs?: number
}): Beat {
  const { direct, node, log } = options
  const intervalMs = options.intervalMs ?? 10_000
  const text = statement(quoteName(options.schema), Math.max(60_000, 6 * intervalMs))
  const parts = new Set<BeatPart>()
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> | undefined
  let closed = false

  function schedule(): void {
    clearTimeout(timer)
    if (!closed) timer = setTimeout(() => void now(), intervalMs * (0.95 + Math.random() / 10))
  }

  async function now(): Promise<void> {
    running ??= beat().finally(() => {
      running = undefined
      schedule()
    })
    await running
  }

  async function beat(): Promise<void> {
    const members = [...parts]
    const renewals = members.flatMap(part => part.renewals?.() ?? [])
    const notification = members.map(part => part.notification?.()).find(found => found !== undefined)
    const sentAt = performance.now()
    try {
      const { rows } = await direct.query<{ holders: string[]; others: number }>(text, [
        node.id,
        node.name,
        node.kind,
        node.version,
        JSON.stringify(node.info ?? {}),
        renewals.map(renewal => renewal.key),
        renewals.map(renewal => renewal.holder),
        renewals.map(renewal => renewal.ttlMs),
        notification?.channel ?? null,
        notification?.payload ?? null,
      ])
      const holders = new Set(rows[0]?.holders ?? [])
      for (const part of members) {
        part.renewed?.(holders, sentAt)
        part.others?.(rows[0]?.others ?? 0)
      }
    } catch (error) {
      if (closed) return
      log.debug('beat not answered', { error: errorText(error) })
      for (const part of members) part.missed?.(error)
    }
  }

  const stopWatching = direct.onUp(() => void now())
  schedule()
  return {
    node,
    intervalMs,
    join(part) {
      parts.add(part)
      return () => parts.delete(part)
    },
    now,
    async close() {
      closed = true
      stopWatching()
      clearTimeout(timer)
      await running
      await direct
        .query(`delete from ${quoteName(options.schema)}.nodes where id = $1`, [node.id])
        .catch(() => {})
    },
  }
}

/** A dead node's row and old message bodies go here; locked rows are left to whoever is at them. */
function statement(schema: string, forgottenAfterMs: number): string {
  return `with present as (
  insert into ${schema}.nodes as n (id, name, kind, version, info) values ($1, $2, $3, $4, $5)
  on conflict (id) do update set seen_at = now(), info = excluded.info
), renewed as (
  update ${schema}.leases l set expires_at = now() + r.ttl_ms * interval '1 ms'
  from unnest($6::text[], $7::uuid[], $8::float8[]) as r (key, holder, ttl_ms)
  where l.key = r.key and l.holder = r.holder and l.expires_at > now()
  returning l.holder
), forgotten as (
  delete from ${schema}.nodes where id in (
    select id from ${schema}.nodes where seen_at < now() - ${forgottenAfterMs} * interval '1 ms' and id <> $1
    for update skip locked)
), emptied as (
  delete from ${schema}.bus_blobs where id in (
    select id from ${schema}.bus_blobs where created_at < now() - interval '1 minute' for update skip locked)
)
select coalesce((select array_agg(holder::text) from renewed), '{}') as holders,
       (select count(*)::int from ${schema}.nodes where id <> $1) as others,
       case when $9::text is not null then pg_notify($9, $10) end as told`
}
