import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

export async function sessionIdsOf(db: Queryable, userId: number): Promise<string[]> {
  const rows = await db.rows<{ id: string }>(
    sql`select id from ${db.t('sessions')} where user_id = ${userId}`,
  )
  return rows.map(row => row.id)
}

/** Plans, codes and access tokens of the sessions go with them (foreign keys). */
export async function deleteSessionRows(db: Queryable, ids: string[]): Promise<{ id: string }[]> {
  if (ids.length === 0) return []
  return db.rows<{ id: string }>(
    sql`delete from ${db.t('sessions')} where id = any(${ids}::uuid[]) returning id`,
  )
}

/** Refresh tokens outlive their session on purpose, but not the access of their user. */
export async function revokeRefreshTokens(db: Queryable, userId: number): Promise<number> {
  return db.count(sql`
    update ${db.t('oauth_refresh_tokens')} set revoked_at = now() where user_id = ${userId} and revoked_at is null`)
}

/** One indexed DELETE by the one criterion given. */
export async function deleteProxySessions(
  db: Queryable,
  by: { sidHash: Buffer } | { userHash: Buffer } | { clientId: string },
): Promise<number> {
  const condition =
    'sidHash' in by
      ? sql`sid_hash = ${by.sidHash}`
      : 'userHash' in by
        ? sql`user_hash = ${by.userHash}`
        : sql`client_id = ${by.clientId}`
  return db.count(sql`delete from ${db.t('proxy_sessions')} where ${condition}`)
}

/** @returns id of the revocation; ids grow */
export async function insertRevocation(
  db: Queryable,
  revocation: { sessionId?: string; userUid?: string; clientId?: string },
): Promise<number> {
  const row = await db.first<{ id: string | number }>(sql`
    insert into ${db.t('revocations')} (session_id, user_uid, client_id)
    values (${revocation.sessionId ?? ''}, ${revocation.userUid ?? null}, ${revocation.clientId ?? null}) returning id`)
  return Number(row!.id)
}
