import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

export interface LoginUser {
  id: number
  uid: string
  username: string
  email: string
}

/** The user, if active at this very moment; remembers the login. */
export async function markLogin(db: Queryable, userId: number): Promise<LoginUser | undefined> {
  return db.first<LoginUser>(sql`
    update ${db.t('users')} set last_login_at = now() where id = ${userId} and is_active
    returning id, uid, username, email`)
}

/** Deletes a session in which nobody was signed in. */
export async function deleteAnonymousSession(db: Queryable, id: string): Promise<void> {
  await db.count(sql`delete from ${db.t('sessions')} where id = ${id} and user_id is null`)
}

/** The same user proved again who they are: the session keeps its id, all else is new. @returns 0 when it has ended meanwhile */
export async function renewSession(
  db: Queryable,
  s: {
    id: string
    userId: number
    keyHash: Buffer
    expiresAt: Date
    authMethod: string
    authArgs: Record<string, unknown>
    authAt: Date
    idleSeconds?: number
  },
): Promise<number> {
  return db.count(sql`
    update ${db.t('sessions')} set key_hash = ${s.keyHash}, expires_at = ${s.expiresAt}, auth_method = ${s.authMethod},
      auth_args = ${JSON.stringify(s.authArgs)}, auth_at = ${s.authAt}, last_used_at = now(),
      idle_limit = ${s.idleSeconds ?? null}::float8 * interval '1 second'
    where id = ${s.id} and user_id = ${s.userId}`)
}
