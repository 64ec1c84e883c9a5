import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

/** An app password: the live token with this key, if it belongs to this user. */
export async function findAppPassword(
  db: Queryable,
  username: string,
  keyHash: Buffer,
): Promise<{ identifier: string; user_id: number } | undefined> {
  return db.first<{ identifier: string; user_id: number }>(sql`
    select t.identifier, t.user_id from ${db.t('tokens')} t join ${db.t('users')} u on u.id = t.user_id and u.is_active
    where t.key_hash = ${keyHash} and t.intent = 'app_password' and (t.expires_at is null or t.expires_at > now())
      and lower(u.username) = lower(${username})`)
}

/** The service account of this name under `path`; another user who took the name is not it. */
export async function findServiceAccount(
  db: Queryable,
  username: string,
  path: string,
): Promise<{ id: number; is_active: boolean } | undefined> {
  return db.first<{ id: number; is_active: boolean }>(sql`
    select id, is_active from ${db.t('users')}
    where lower(username) = lower(${username}) and path = ${path} and type = 'service_account'`)
}
