// The statements of the cache.
import { type Queryable, sql } from './db.ts'

export interface CacheRow {
  value: Buffer
  load_ms: number
  /** ms from now; negative once it is due to be made anew */
  soft_in: number
  /** ms from now */
  hard_in: number
}

export async function readEntry(db: Queryable, key: Buffer): Promise<CacheRow | undefined> {
  return await db.first(
    sql<CacheRow>`
    select value, load_ms, extract(epoch from soft_at - now())::float8 * 1000 as soft_in,
           extract(epoch from expires_at - now())::float8 * 1000 as hard_in
    from ${db.t('cache_entries')} where key = ${key} and expires_at > now()`,
    { retry: true },
  )
}

/** Says that this process makes the value; false when another one does. A claim ends by itself. */
export async function claimEntry(db: Queryable, key: Buffer, claimMs: number): Promise<boolean> {
  const count = await db.count(sql`
    insert into ${db.t('cache_entries')} as c (key, value, load_ms, soft_at, expires_at, claimed_until)
    values (${key}, '', 0, '-infinity', '-infinity', now() + ${claimMs}::float8 * interval '1 ms')
    on conflict (key) do update set claimed_until = excluded.claimed_until where c.claimed_until < now()`)
  return count === 1
}

export interface NewEntry {
  key: Buffer
  value: Buffer
  loadMs: number
  softMs: number
  hardMs: number
}

export async function writeEntry(db: Queryable, entry: NewEntry): Promise<void> {
  await db.count(sql`
    insert into ${db.t('cache_entries')} as c (key, value, load_ms, soft_at, expires_at)
    values (${entry.key}, ${entry.value}, ${Math.round(entry.loadMs)},
            now() + ${entry.softMs}::float8 * interval '1 ms', now() + ${entry.hardMs}::float8 * interval '1 ms')
    on conflict (key) do update set value = excluded.value, load_ms = excluded.load_ms, soft_at = excluded.soft_at,
      expires_at = excluded.expires_at, claimed_until = '-infinity'`)
}

/** @returns false when there is a live value already */
export async function addEntry(db: Queryable, entry: NewEntry): Promise<boolean> {
  const count = await db.count(sql`
    insert into ${db.t('cache_entries')} as c (key, value, load_ms, soft_at, expires_at)
    values (${entry.key}, ${entry.value}, 0,
            now() + ${entry.softMs}::float8 * interval '1 ms', now() + ${entry.hardMs}::float8 * interval '1 ms')
    on conflict (key) do update set value = excluded.value, load_ms = 0, soft_at = excluded.soft_at,
      expires_at = excluded.expires_at, claimed_until = '-infinity' where c.expires_at <= now()`)
  return count === 1
}

export async function dropClaim(db: Queryable, key: Buffer): Promise<void> {
  await db.count(sql`update ${db.t('cache_entries')} set claimed_until = '-infinity' where key = ${key}`)
}

export async function readGenerations(db: Queryable, namespaces: string[]): Promise<Map<string, bigint>> {
  const rows = await db.rows(
    sql<{ namespace: string; generation: string }>`
    select namespace, generation from ${db.t('cache_generations')} where namespace = any(${namespaces})`,
    { retry: true },
  )
  return new Map(rows.map(row => [row.namespace, BigInt(row.generation)]))
}

export async function raiseGeneration(db: Queryable, namespace: string): Promise<bigint> {
  const row = await db.first(sql<{ generation: string }>`
    insert into ${db.t('cache_generations')} as g (namespace, generation) values (${namespace}, 1)
    on conflict (namespace) do update set generation = g.generation + 1 returning generation`)
  return BigInt(row?.generation ?? 0)
}
