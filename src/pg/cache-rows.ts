// The statements of the cache. Reads, claims and writes take many keys at once; keys are written in the order of their bytes, so that
// two processes never wait for each other in a circle.
import { type Queryable, sql } from './db.ts'

export interface CacheRow {
  value: Buffer
  load_ms: number
  /** ms from now; negative once it is due to be made anew */
  soft_in: number
  /** ms from now */
  hard_in: number
}

/** Live entries of the keys, in their order; undefined where there is none. */
export async function readEntries(db: Queryable, keys: Buffer[]): Promise<(CacheRow | undefined)[]> {
  const rows = await db.rows(
    sql<CacheRow & { key: Buffer }>`
    select key, value, load_ms, extract(epoch from soft_at - now())::float8 * 1000 as soft_in,
           extract(epoch from expires_at - now())::float8 * 1000 as hard_in
    from ${db.t('cache_entries')} where key = any(${keys}::bytea[]) and expires_at > now()`,
    { retry: true },
  )
  const found = new Map(rows.map(row => [nameOf(row.key), row]))
  return keys.map(key => found.get(nameOf(key)))
}

/** Says that this process makes the values; false for those another one makes already. A claim ends by itself. */
export async function claimEntries(db: Queryable, keys: Buffer[], claimMs: number): Promise<boolean[]> {
  const names = keys.map(nameOf)
  const first = new Map([...names.entries()].reverse().map(([at, name]) => [name, at]))
  const rows = await db.rows(sql<{ key: Buffer }>`
    insert into ${db.t('cache_entries')} as c (key, value, load_ms, soft_at, expires_at, claimed_until)
    select key, '', 0, '-infinity', '-infinity', now() + ${claimMs}::float8 * interval '1 ms'
    from unnest(${inOrder(keys)}::bytea[]) key
    on conflict (key) do update set claimed_until = excluded.claimed_until where c.claimed_until < now()
    returning c.key`)
  const won = new Set(rows.map(({ key }) => nameOf(key)))
  // Of two claims on one key in one statement the first wins.
  return names.map((name, at) => won.has(name) && first.get(name) === at)
}

export interface NewEntry {
  key: Buffer
  value: Buffer
  loadMs: number
  softMs: number
  hardMs: number
}

/** Of two entries with one key the later one is written. */
export async function writeEntries(db: Queryable, entries: NewEntry[]): Promise<void> {
  const last = new Map(entries.map(entry => [nameOf(entry.key), entry]))
  const ordered = [...last.values()].sort((a, b) => a.key.compare(b.key))
  await db.count(sql`
    insert into ${db.t('cache_entries')} as c (key, value, load_ms, soft_at, expires_at)
    select key, value, load_ms, now() + soft_ms * interval '1 ms', now() + hard_ms * interval '1 ms'
    from unnest(${ordered.map(({ key }) => key)}::bytea[], ${ordered.map(({ value }) => value)}::bytea[],
                ${ordered.map(({ loadMs }) => Math.round(loadMs))}::int[], ${ordered.map(({ softMs }) => softMs)}::float8[],
                ${ordered.map(({ hardMs }) => hardMs)}::float8[]) as e (key, value, load_ms, soft_ms, hard_ms)
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

function nameOf(key: Buffer): string {
  return key.toString('latin1')
}

/** Each once, in the order of their bytes. */
function inOrder(keys: Buffer[]): Buffer[] {
  return [...new Map(keys.map(key => [nameOf(key), key])).values()].sort((a, b) => a.compare(b))
}
