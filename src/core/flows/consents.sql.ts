import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

/** What the user has granted the application, undefined = never asked, or it has expired. */
export async function findConsent(
  db: Queryable,
  userId: number,
  applicationId: string,
): Promise<string[] | undefined> {
  const row = await db.first<{ permissions: string[] }>(sql`
    select permissions from ${db.t('user_consents')}
    where user_id = ${userId} and application_id = ${applicationId} and (expires_at is null or expires_at > now())`)
  return row?.permissions
}

/** Adds what was granted to what is still valid, sorted. */
export async function storeConsent(
  db: Queryable,
  consent: { userId: number; applicationId: string; permissions: string[]; expiresAt: Date | null },
): Promise<void> {
  await db.count(sql`
    insert into ${db.t('user_consents')} as c (user_id, application_id, permissions, expires_at)
    select ${consent.userId}, ${consent.applicationId}, array(select distinct unnest(${consent.permissions}::text[]) order by 1),
      ${consent.expiresAt}
    on conflict (user_id, application_id) do update set expires_at = excluded.expires_at, permissions = case
      when c.expires_at is null or c.expires_at > now()
        then array(select distinct unnest(c.permissions || excluded.permissions) order by 1)
      else excluded.permissions end`)
}
