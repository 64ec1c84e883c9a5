import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { groupAttributesOf } from './tokens.sql.ts'

export interface NewCode {
  codeHash: Buffer
  providerId: number
  userId: number
  sessionId: string
  grantId: string
  scopes: string[]
  redirectUri: string
  nonce: string | null
  authAt: Date
  amr: string[]
  codeChallenge: string | null
  expiresAt: Date
}

export async function insertCode(db: Queryable, code: NewCode): Promise<void> {
  await db.count(sql`
    insert into ${db.t('oauth_codes')} (code_hash, provider_id, user_id, session_id, grant_id, scopes, redirect_uri, nonce, auth_at,
      amr, code_challenge, code_challenge_method, expires_at)
    values (${code.codeHash}, ${code.providerId}, ${code.userId}, ${code.sessionId}, ${code.grantId}, ${code.scopes},
      ${code.redirectUri}, ${code.nonce}, ${code.authAt}, ${code.amr}, ${code.codeChallenge},
      ${code.codeChallenge === null ? null : 'S256'}, ${code.expiresAt})`)
}

export interface CodeRow {
  user_id: number
  session_id: string | null
  grant_id: string
  scopes: string[]
  redirect_uri: string
  nonce: string | null
  auth_at: Date
  amr: string[]
  code_challenge: string | null
  group_attributes: Record<string, unknown>[]
}

/** Takes a code: only one caller ever gets the row, and a code of another client or past its time is nobody's. */
export async function takeCode(
  db: Queryable,
  codeHash: Buffer,
  providerId: number,
): Promise<CodeRow | undefined> {
  return db.first<CodeRow>(sql`
    update ${db.t('oauth_codes')} c set used_at = now()
    where c.code_hash = ${codeHash} and c.provider_id = ${providerId} and c.used_at is null and c.expires_at > now()
    returning c.user_id, c.session_id, c.grant_id, c.scopes, c.redirect_uri, c.nonce, c.auth_at, c.amr, c.code_challenge,
      ${groupAttributesOf(db, sql`c.user_id`)} as group_attributes`)
}

/** The grant of a code that was taken before, while its tombstone stands. */
export async function findTakenCode(
  db: Queryable,
  codeHash: Buffer,
  providerId: number,
): Promise<{ grant_id: string; user_id: number } | undefined> {
  return db.first<{ grant_id: string; user_id: number }>(sql`
    select grant_id, user_id from ${db.t('oauth_codes')}
    where code_hash = ${codeHash} and provider_id = ${providerId} and used_at is not null`)
}
