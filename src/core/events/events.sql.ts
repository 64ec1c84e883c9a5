import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

interface EventRow {
  action: string
  app: string
  user: object
  context: object
  clientIp: string | null
  revocationId: number | null
}

/** Kept for a year. */
export async function insertEvent(db: Queryable, e: EventRow): Promise<string> {
  const row = await db.first<{ id: string }>(sql`
    insert into ${db.t('events')} (action, app, "user", context, client_ip, revocation_id, expires_at)
    values (${e.action}, ${e.app}, ${JSON.stringify(e.user)}, ${JSON.stringify(e.context)}, ${e.clientIp}, ${e.revocationId},
      now() + interval '365 days')
    returning id`)
  return row!.id
}
