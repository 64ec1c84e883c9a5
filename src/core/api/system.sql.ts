import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

/** Whether a connected outpost runs another version. */
export async function hasOutdatedOutpost(db: Queryable, version: string): Promise<boolean> {
  const row = await db.first<{ outdated: boolean }>(sql`
    select exists (
      select from ${db.t('outpost_instances')} where expires_at > now() and hello ->> 'version' is distinct from ${version}
    ) as outdated`)
  return row?.outdated ?? false
}

/** Address the embedded outpost is told to use, undefined when there is no embedded outpost. */
export async function embeddedOutpostHost(db: Queryable, managed: string): Promise<string | undefined> {
  const row = await db.first<{ host: string }>(sql`
    select coalesce(config ->> 'authentik_host', '') as host from ${db.t('outposts')} where managed = ${managed}`)
  return row?.host
}
