import type { Db } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { lockKey } from '../../pg/lock-key.ts'

/** Tables whose rows end: the column that tells when, and how long a row is kept after that. */
const expiring = {
  flow_plans: { column: 'expires_at' },
  // Plans, codes and access tokens of a session go with it.
  sessions: { column: 'expires_at' },
  tokens: { column: 'expires_at' },
  // A used or expired code is a tombstone for an hour: a replay of it still ends what was issued.
  oauth_codes: { column: 'expires_at', kept: '1 hour' },
  oauth_access_tokens: { column: 'expires_at' },
  oauth_refresh_tokens: { column: 'expires_at' },
  user_consents: { column: 'expires_at' },
  events: { column: 'expires_at' },
  sign_in_failures: { column: 'expires_at' },
  // Outposts that were away are sent a day of them; receipts go with theirs.
  revocations: { column: 'created_at', kept: '24 hours' },
  outpost_instances: { column: 'expires_at', kept: '1 minute' },
  // Of tasks that never came to their end.
  task_fan_outs: { column: 'expires_at' },
  proxy_sessions: { column: 'expires_at' },
} as const satisfies Record<string, { column: string; kept?: string }>

export type ExpiringTable = keyof typeof expiring

/** All of them, in the order in which they are swept. */
export const expiringTables = Object.keys(expiring) as ExpiringTable[]

/**
 * Deletes one batch of ended rows, oldest end first, under the table's lock; rows somebody is at are left for the next time. In the order
 * of the index a batch costs what it deletes; in that of the table each would first read past all that the batches before it deleted.
 * @returns number deleted, or null when somebody else holds the lock
 */
export async function deleteExpired(db: Db, table: ExpiringTable, limit: number): Promise<number | null> {
  const { column, kept = '0' }: { column: string; kept?: string } = expiring[table]
  const end = sql`t.${sql.id(column)}`
  const row = await db.first<{ free: boolean; deleted: number }>(sql`
    with lock as materialized (
      select pg_try_advisory_xact_lock(${lockOf(db.schema, table)}::bigint) as free
    ), gone as (
      delete from ${db.t(table)} where ctid = any(array(
        select t.ctid from ${db.t(table)} t where (select free from lock) and ${end} <= now() - ${kept}::interval
        order by ${end} limit ${limit} for update of t skip locked))
      returning 1
    )
    select (select free from lock) as free, (select count(*) from gone)::int as deleted`)
  return row?.free === true ? row.deleted : null
}

/** Outposts sweep their table too, under the lock they know. */
function lockOf(schema: string, table: ExpiringTable): string {
  return table === 'proxy_sessions'
    ? lockKey(schema, 'proxy_sessions_sweep')
    : lockKey(schema, 'sweep', table)
}
