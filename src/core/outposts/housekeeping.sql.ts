import type { Db } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { lockKey } from '../../pg/lock-key.ts'

/** Tables whose rows end, with the condition of their end; `t` is the row. */
const expiring = {
  flow_plans: sql`t.expires_at <= now()`,
  // Plans, codes and access tokens of a session go with it.
  sessions: sql`t.expires_at <= now()`,
  tokens: sql`t.expires_at <= now()`,
  // A used or expired code is a tombstone for an hour: a replay of it still ends what was issued.
  oauth_codes: sql`t.expires_at <= now() - interval '1 hour'`,
  oauth_access_tokens: sql`t.expires_at <= now()`,
  oauth_refresh_tokens: sql`t.expires_at <= now()`,
  user_consents: sql`t.expires_at <= now()`,
  events: sql`t.expires_at <= now()`,
  sign_in_failures: sql`t.expires_at <= now()`,
  // Outposts that were away are sent a day of them; receipts go with theirs.
  revocations: sql`t.created_at <= now() - interval '24 hours'`,
  outpost_instances: sql`t.expires_at <= now() - interval '1 minute'`,
  // Of tasks that never came to their end.
  task_fan_outs: sql`t.expires_at <= now()`,
  proxy_sessions: sql`t.expires_at <= now()`,
} as const

export type ExpiringTable = keyof typeof expiring

/** All of them, in the order in which they are swept. */
export const expiringTables = Object.keys(expiring) as ExpiringTable[]

/**
 * Deletes one batch of ended rows, under the table's lock; rows somebody is at are left for the next time.
 * @returns number deleted, or null when somebody else holds the lock
 */
export async function deleteExpired(db: Db, table: ExpiringTable, limit: number): Promise<number | null> {
  const row = await db.first<{ free: boolean; deleted: number }>(sql`
    with lock as materialized (
      select pg_try_advisory_xact_lock(${lockOf(db.schema, table)}::bigint) as free
    ), gone as (
      delete from ${db.t(table)} where ctid = any(array(
        select t.ctid from ${db.t(table)} t where (select free from lock) and ${expiring[table]}
        limit ${limit} for update of t skip locked))
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
