// Clean-up of the cache's table: expired rows go by ranges of pages, and a table that has become too large is cut. It is only a cache.
import { type Db, sql } from './db.ts'

const pagesPerStep = 512
const pageBytes = 8192
export const defaultMaxBytes = 256 * 1024 * 1024

export interface CacheSweep {
  /** expired rows that were deleted */
  expired: number
  /** `half`: live rows of the lower half went too; `all`: the table was emptied */
  cut: 'none' | 'half' | 'all'
}

/**
 * Deletes what has expired, a bounded number of pages per statement. Call it from one process at a time (a lease).
 * @param options.maxBytes table with index; above it the older half goes, above its double everything
 */
export async function sweepCache(db: Db, options: { maxBytes?: number } = {}): Promise<CacheSweep> {
  const maxBytes = options.maxBytes ?? defaultMaxBytes
  const size = await cacheSize(db)
  if (size.total > 2 * maxBytes) {
    await db.transaction(tx => tx.rows(sql`truncate ${tx.t('cache_entries')}`))
    return { expired: 0, cut: 'all' }
  }
  const pages = Math.ceil(size.heap / pageBytes)
  const half = size.total > maxBytes ? Math.ceil(pages / 2) : 0
  let expired = 0
  for (let from = 0; from < pages; from += pagesPerStep) {
    const to = from + pagesPerStep
    const all = to <= half || (from === 0 && half > 0)
    expired += await db.count(sql`
      delete from ${db.t('cache_entries')}
      where ctid >= ${`(${from},0)`}::tid and ctid < ${`(${to},0)`}::tid
        and (${all} or (expires_at < now() and claimed_until < now()))`)
  }
  return { expired, cut: half > 0 ? 'half' : 'none' }
}

/** Bytes of the table's own pages, and with index and long values. */
export async function cacheSize(db: Db): Promise<{ heap: number; total: number }> {
  const row = await db.first(sql<{ heap: string; total: string }>`
    select pg_relation_size(c.oid) as heap, pg_total_relation_size(c.oid) as total from pg_class c
    join pg_namespace n on n.oid = c.relnamespace where n.nspname = ${db.schema} and c.relname = 'cache_entries'`)
  return { heap: Number(row?.heap ?? 0), total: Number(row?.total ?? 0) }
}
