import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

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
  proxy_sessions: sql`t.expires_at <= now()`,
} as const

export type ExpiringTable = keyof typeof expiring

/** All of them, in the order in which they are swept. */
export const expiringTables = Object.keys(expiring) as ExpiringTable[]

/** Deletes one batch of ended rows; rows somebody is at are left for the next time. @returns number deleted */
export async function deleteExpired(db: Queryable, table: ExpiringTable, limit: number): Promise<number> {
  return db.count(sql`
    delete from ${db.t(table)} where ctid = any(array(
      select t.ctid from ${db.t(table)} t where ${expiring[table]} limit ${limit} for update skip locked))`)
}
