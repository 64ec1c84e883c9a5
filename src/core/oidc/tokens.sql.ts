import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

export interface NewAccessToken {
  tokenHash: Buffer
  providerId: number
  userId: number
  sessionId: string | null
  grantId: string
  scopes: string[]
  claimsSealed: Buffer
  authAt: Date
  expiresAt: Date
}

export interface NewRefreshToken {
  tokenHash: Buffer
  /** of the whole grant, even when the access token has fewer */
  scopes: string[]
  amr: string[]
  nonce: string | null
  expiresAt: Date
}

/**
 * Stores what was issued together, in one statement: access token, refresh token if there is one, and the end of the refresh token it
 * replaces. In one transaction `now()` stands still, so `revoked_at` of the old equals `created_at` of the new: that is how the
 * immediate predecessor is known later.
 */
export async function insertTokens(
  db: Queryable,
  access: NewAccessToken,
  refresh: NewRefreshToken | null,
  replacedId: string | null,
): Promise<void> {
  const added =
    refresh === null
      ? sql``
      : sql`, refreshed as (
      insert into ${db.t('oauth_refresh_tokens')}
        (token_hash, provider_id, user_id, session_id, grant_id, scopes, auth_at, amr, nonce, expires_at)
      values (${refresh.tokenHash}, ${access.providerId}, ${access.userId}, ${access.sessionId}, ${access.grantId},
        ${refresh.scopes}, ${access.authAt}, ${refresh.amr}, ${refresh.nonce}, ${refresh.expiresAt})
    )`
  await db.count(sql`
    with replaced as (
      update ${db.t('oauth_refresh_tokens')} set revoked_at = now() where id = ${replacedId}::uuid
    )${added}
    insert into ${db.t('oauth_access_tokens')}
      (token_hash, provider_id, user_id, session_id, grant_id, scopes, claims_sealed, auth_at, expires_at)
    values (${access.tokenHash}, ${access.providerId}, ${access.userId}, ${access.sessionId}, ${access.grantId}, ${access.scopes},
      ${access.claimsSealed}, ${access.authAt}, ${access.expiresAt})`)
}

export interface RefreshTokenRow {
  id: string
  user_id: number
  session_id: string | null
  grant_id: string
  scopes: string[]
  auth_at: Date
  amr: string[]
  nonce: string | null
  revoked: boolean
  expired: boolean
  expires_at: Date
  group_attributes: Record<string, unknown>[]
}

/** A refresh token of this provider, locked until the transaction ends, so that two rotations follow one another. */
export async function lockRefreshToken(
  db: Queryable,
  tokenHash: Buffer,
  providerId: number,
): Promise<RefreshTokenRow | undefined> {
  return db.first<RefreshTokenRow>(sql`
    select r.id, r.user_id, r.session_id, r.grant_id, r.scopes, r.auth_at, r.amr, r.nonce, r.expires_at,
      r.revoked_at is not null as revoked, r.expires_at <= now() as expired,
      ${groupAttributesOf(db, sql`r.user_id`)} as group_attributes
    from ${db.t('oauth_refresh_tokens')} r
    where r.token_hash = ${tokenHash} and r.provider_id = ${providerId}
    for update of r`)
}

/**
 * True when a token was replaced less than ten seconds ago and what replaced it is unused. A statement of its own: the one that waited
 * for the lock does not see the row which the transaction it waited for has added.
 */
export async function isInGrace(db: Queryable, tokenId: string): Promise<boolean> {
  const row = await db.first<{ in_grace: boolean }>(sql`
    select r.revoked_at > now() - interval '10 seconds' and exists (
      select from ${db.t('oauth_refresh_tokens')} s
      where s.grant_id = r.grant_id and s.created_at = r.revoked_at and s.revoked_at is null
    ) as in_grace
    from ${db.t('oauth_refresh_tokens')} r where r.id = ${tokenId}`)
  return row?.in_grace ?? false
}

/** Attributes of the groups of a user, by name of the group, as an SQL expression. */
export function groupAttributesOf(db: Queryable, userId: ReturnType<typeof sql>) {
  return sql`coalesce((
    select json_agg(g.attributes order by g.name)
    from ${db.t('memberships')} m join ${db.t('groups')} g on g.id = m.group_id
    where m.user_id = ${userId} and g.attributes <> '{}'
  ), '[]')`
}

export async function findGroupAttributes(db: Queryable, userId: number): Promise<Record<string, unknown>[]> {
  const row = await db.first<{ attributes: Record<string, unknown>[] }>(
    sql`select ${groupAttributesOf(db, sql`${userId}`)} as attributes`,
  )
  return row?.attributes ?? []
}

/** Ends everything issued in one grant. @returns number of tokens that were still good */
export async function revokeFamily(db: Queryable, grantId: string): Promise<number> {
  const row = await db.first<{ ended: number }>(sql`
    with access as (
      update ${db.t('oauth_access_tokens')} set revoked_at = now()
      where grant_id = ${grantId} and revoked_at is null and expires_at > now() returning 1
    ), refresh as (
      update ${db.t('oauth_refresh_tokens')} set revoked_at = now()
      where grant_id = ${grantId} and revoked_at is null and expires_at > now() returning 1
    )
    select ((select count(*) from access) + (select count(*) from refresh))::int as ended`)
  return row?.ended ?? 0
}

/** Ends an access token, or a refresh token with its whole family; a token of another provider stays (RFC 7009 §2.1). */
export async function revokeToken(db: Queryable, tokenHash: Buffer, providerId: number): Promise<number> {
  const row = await db.first<{ ended: number }>(sql`
    with family as (
      select grant_id from ${db.t('oauth_refresh_tokens')} where token_hash = ${tokenHash} and provider_id = ${providerId}
    ), access as (
      update ${db.t('oauth_access_tokens')} set revoked_at = now()
      where revoked_at is null and provider_id = ${providerId}
        and (token_hash = ${tokenHash} or grant_id in (select grant_id from family)) returning 1
    ), refresh as (
      update ${db.t('oauth_refresh_tokens')} set revoked_at = now()
      where revoked_at is null and grant_id in (select grant_id from family) returning 1
    )
    select ((select count(*) from access) + (select count(*) from refresh))::int as ended`)
  return row?.ended ?? 0
}

/** Ends the tokens of one application that came from one session, refresh tokens included. */
export async function revokeOfSession(
  db: Queryable,
  of: { providerId: number; sessionId: string },
): Promise<void> {
  await db.count(sql`
    with refresh as (
      update ${db.t('oauth_refresh_tokens')} set revoked_at = now()
      where provider_id = ${of.providerId} and session_id = ${of.sessionId} and revoked_at is null
    )
    update ${db.t('oauth_access_tokens')} set revoked_at = now()
    where provider_id = ${of.providerId} and session_id = ${of.sessionId} and revoked_at is null`)
}

export interface LiveAccessTokenRow {
  user_id: number
  provider_id: number
  session_id: string | null
  scopes: string[]
}

/** A live access token of an active user, for userinfo. */
export async function findAccessToken(
  db: Queryable,
  tokenHash: Buffer,
): Promise<LiveAccessTokenRow | undefined> {
  return db.first<LiveAccessTokenRow>(sql`
    select a.user_id, a.provider_id, a.session_id, a.scopes
    from ${db.t('oauth_access_tokens')} a join ${db.t('users')} u on u.id = a.user_id and u.is_active
    where a.token_hash = ${tokenHash} and a.revoked_at is null and a.expires_at > now()`)
}
