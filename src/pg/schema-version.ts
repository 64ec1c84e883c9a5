// How far the database is migrated, asked while programs run.
import { type Db, sql } from './db.ts'

/**
 * Number of the newest migration that is applied, 0 for none; one statement.
 * @throws PgError or an error of the server when the table cannot be read within `deadlineMs`
 */
export async function schemaVersion(db: Db, deadlineMs: number): Promise<number> {
  const row = await db.first(
    sql<{ id: number | null }>`select max(id) as id from ${db.t('migrations')} where finished_at is not null`,
    { retry: true, deadlineMs },
  )
  return row?.id ?? 0
}
