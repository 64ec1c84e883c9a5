import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

/** Remembers with a session or token that everything written until now is to be seen by it; touches no indexed column. */
export async function setReadAfter(
  db: Queryable,
  { table, id }: { table: 'sessions' | 'tokens'; id: string },
): Promise<void> {
  await db.count(sql`update ${db.t(table)} set read_after = pg_current_wal_insert_lsn() where id = ${id}`)
}
