// Clean-up of the cache's table: expired rows go by ranges of pages, and a table that has become too large is emptied. It is only a cache.
import { type Db, sql } from './db.ts'
import { isLockTimeout } from './errors.ts'

const pagesPerStep = 512
const pageBytes = 8192
const defaultMaxBytes = 256 * 1024 * 1024

export interface CacheSweep {
  /** expired rows that were deleted */
  expired: number
  /** true when the table was too large and everything went */
  emptied: boolean
}

/**
 * Deletes what has expired, a bounded number of pages per statement. Call it from one process at a time (a lease, a task).
 * @param options.maxBytes of table, index and long values; above it the table is emptied. Default 256 MiB
 */
export async function sweepCache(db: Db, options: { maxBytes?: number } = {}): Promise<CacheSweep> {
  const size = await cacheSize(db)
  if (size.total > (options.maxBytes ?? defaultMaxBytes) && (await empty(db)))
    return { expired: 0, emptied: true }
  const pages = Math.ceil(size.heap / pageBytes)
  let expired = 0
  for (let from = 0; from < pages; from += pagesPerStep) {
    expired += await db.count(sql`
      delete from ${db.t('cache_entries')} where ctid = any(array(
        select ctid from ${db.t('cache_entries')}
        where ctid >= ${`(${from},0)`}::tid and ctid < ${`(${from + pagesPerStep},0)`}::tid
          and expires_at < now() and claimed_until < now()
        for update skip locked))`)
  }
  return { expired, emptied: false }
}

/** Readers must not queue behind us: when somebody is in the way, it is left to the next time. */
async function empty(db: Db): Promise<boolean> {
  try {
    await db.transaction(async tx => {
      await tx.rows(sql`set local lock_timeout = '200ms'`)
      await tx.rows(sql`truncate ${tx.t('cache_entries')}`)
    })
    return true
  } catch (error) {
    if (isLockTimeout(error)) return false
    throw error
  }
}

/** Bytes of the table's own pages, and of everything that belongs to it. */
export async function cacheSize(db: Db): Promise<{ heap: number; total: number }> {
  const row = await db.first(sql<{ heap: string; total: string }>`
    select pg_relation_size(c.oid) as heap, pg_total_relation_size(c.oid) as total from pg_class c
    join pg_namespace n on n.oid = c.relnamespace where n.nspname = ${db.schema} and c.relname = 'cache_entries'`)
  return { heap: Number(row?.heap ?? 0), total: Number(row?.total ?? 0) }
}
