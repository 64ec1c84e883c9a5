// Deletes what has ended. Reading never depends on it: whatever expires is checked by the statement that uses it, so a sweep that is
// late only costs room. Called by the worker; one process at a time per table, one statement per batch.
import type { Db } from '../../pg/db.ts'
import type { ExpiringTable } from './housekeeping.sql.ts'
import { deleteExpired, expiringTables } from './housekeeping.sql.ts'

/** A session that goes costs some 30 µs, most of it looking for what hangs on it: 8 ms in which nobody waits for a lock of ours. */
export const batchSize = 250
/** Rows of one table in one sweep; what is left waits for the next, so that one sweep has an end. */
const sweepMax = 100_000

/**
 * Sweeps the tables one after the other, in batches of 250 rows.
 * @param options.tables default: all
 * @returns rows deleted, by table; tables somebody else is sweeping are left out
 */
export async function sweepExpired(
  db: Db,
  options: { tables?: readonly ExpiringTable[]; batchSize?: number; signal?: AbortSignal } = {},
): Promise<Partial<Record<ExpiringTable, number>>> {
  const deleted: Partial<Record<ExpiringTable, number>> = {}
  for (const table of options.tables ?? expiringTables) {
    const count = await sweepTable(db, table, options.batchSize ?? batchSize, options.signal)
    if (count !== null) deleted[table] = count
  }
  return deleted
}

/** @returns null when somebody else was at it from the beginning */
async function sweepTable(
  db: Db,
  table: ExpiringTable,
  size: number,
  signal: AbortSignal | undefined,
): Promise<number | null> {
  let total: number | null = null
  while (!signal?.aborted && (total ?? 0) < sweepMax) {
    const count = await deleteExpired(db, table, size)
    if (count === null) return total
    total = (total ?? 0) + count
    if (count < size) break
  }
  return total
}
