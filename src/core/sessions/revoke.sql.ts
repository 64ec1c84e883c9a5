import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

export async function sessionIdsOf(db: Queryable, userId: number): Promise<string[]> {
  const rows = await db.rows<{ id: string }>(
    sql`select id from ${db.t('sessions')} where user_id = ${userId}`,
  )
  return rows.map(row => row.id)
}

/** Plans, codes and access tokens of the sessions go with them (foreign keys). */
export async function deleteSessionRows(db: Queryable, ids: string[]): Promise<string[]> {
  if (ids.length === 0) return []
  const rows = await db.rows<{ id: string }>(
    sql`delete from ${db.t('sessions')} where id = any(${ids}::uuid[]) returning id`,
  )
  return rows.map(row => row.id)
}

/** Refresh tokens outlive their session on purpose, but not the access of their user. */
export async function revokeRefreshTokens(db: Queryable, userId: number): Promise<number> {
  return db.count(sql`
    update ${db.t('oauth_refresh_tokens')} set revoked_at = now() where user_id = ${userId} and revoked_at is null`)
}

/** One indexed DELETE by the one criterion given. */
export async function deleteProxySessions(
  db: Queryable,
  by: { sidHashes: Buffer[] } | { userHash: Buffer } | { clientId: string },
): Promise<number> {
  const condition =
    'sidHashes' in by
      ? sql`sid_hash = any(${by.sidHashes}::bytea[])`
      : 'userHash' in by
        ? sql`user_hash = ${by.userHash}`
        : sql`client_id = ${by.clientId}`
  return db.count(sql`delete from ${db.t('proxy_sessions')} where ${condition}`)
}

/** What a user has at a provider. */
export interface Holding {
  userId: number
  userUid: string
  providerId: number
  clientId: string
}

/** @param userHashes SHA-256 of each holding's `sub`, in the same order */
export async function deleteHoldings(
  db: Queryable,
  holdings: Holding[],
  userHashes: Buffer[],
): Promise<number> {
  return db.count(sql`
    with held as (
      select * from unnest(${holdings.map(h => h.userId)}::int[], ${holdings.map(h => h.providerId)}::int[],
        ${holdings.map(h => h.clientId)}::text[], ${userHashes}::bytea[]) as h (user_id, provider_id, client_id, user_hash)
    ), tokens as (
      update ${db.t('oauth_access_tokens')} t set revoked_at = now() from held h
      where t.user_id = h.user_id and t.provider_id = h.provider_id and t.revoked_at is null
    )
    delete from ${db.t('proxy_sessions')} s using held h where s.user_hash = h.user_hash and s.client_id = h.client_id`)
}

export interface NewRevocation {
  sessionId?: string
  userUid?: string
  clientId?: string
}

/** In the order given; ids grow. */
export async function insertRevocations(
  db: Queryable,
  revocations: NewRevocation[],
): Promise<{ id: number; sessionId: string }[]> {
  const rows = await db.rows<{ id: string | number; session_id: string }>(sql`
    insert into ${db.t('revocations')} (session_id, user_uid, client_id)
    select coalesce(r."sessionId", ''), r."userUid", r."clientId"
    from jsonb_to_recordset(${JSON.stringify(revocations)}::jsonb) r ("sessionId" text, "userUid" text, "clientId" text)
    returning id, session_id`)
  return rows.map(row => ({ id: Number(row.id), sessionId: row.session_id })).sort((a, b) => a.id - b.id)
}
