import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import type { Secrets } from '../secrets.ts'
import { sha256 } from '../secrets.ts'
import type { Principal } from '../sessions/principal.ts'
import { asked, compares, containsText, equals, isNull } from './filters.sql.ts'
import type { Condition, Ordering, Table } from './resource.sql.ts'
import type { OwnerJson } from './user-shape.ts'
import { ownerColumn } from './users.sql.ts'
import { visibleRow } from './visible.sql.ts'

export type TokenIntent = 'verification' | 'api' | 'recovery' | 'app_password'

export interface TokenRow {
  id: string
  identifier: string
  intent: TokenIntent
  user_id: number
  description: string
  managed: string | null
  expires_at: Date | null
  owner: OwnerJson
}

export interface TokenQuery {
  description?: string
  expires?: string
  expiring?: boolean
  identifier?: string
  intent?: TokenIntent
  managed?: string
  search?: string
  user__username?: string
}

/** Tokens with their owner; expired ones are nobody's any more. */
export function tokenTable(db: Queryable): Table {
  return {
    key: sql`r.identifier`,
    from: sql`(
      select *, user_id as owner_id from ${db.t('tokens')} where expires_at is null or expires_at > now()
    ) r`,
    columns: sql`r.id, r.identifier, r.intent, r.user_id, r.description, r.managed, r.expires_at, ${ownerColumn(db)}`,
  }
}

/** His own tokens, and those the permission is held on. A managed one is changed by permission only. */
export function tokenReach(db: Queryable, principal: Principal, action: string): Condition {
  const byPermission = visibleRow(db, principal, `authentik_core.${action}_token`)
  const own =
    action === 'view'
      ? sql`r.user_id = ${principal.user.id}`
      : sql`r.user_id = ${principal.user.id} and r.managed is null`
  return sql<boolean>`((${own}) or ${byPermission})`
}

/** Whose keys may be read: the owner's own, unless managed, and those `view_token_key` is held on. */
export function tokenKeyReach(db: Queryable, principal: Principal): Condition {
  return sql<boolean>`((r.user_id = ${principal.user.id} and r.managed is null)
    or ${visibleRow(db, principal, 'authentik_core.view_token_key')})`
}

export function tokenConditions(db: Queryable, q: TokenQuery): Condition[] {
  return asked([
    equals(sql`r.identifier`, q.identifier),
    equals(sql`r.intent`, q.intent),
    equals(sql`r.description`, q.description),
    equals(sql`r.managed`, q.managed),
    compares(sql`r.expires_at`, '=', q.expires),
    isNull(sql`r.expires_at`, q.expiring === undefined ? undefined : !q.expiring),
    q.user__username === undefined
      ? undefined
      : sql<boolean>`exists (select from ${db.t('users')} u where u.id = r.user_id and u.username = ${q.user__username})`,
    containsText([sql`r.identifier`, sql`r.intent`, sql`r.description`], q.search),
  ])
}

export const tokenOrdering: Ordering = {
  identifier: sql`r.identifier`,
  expires: sql`r.expires_at`,
  intent: sql`r.intent`,
  managed: sql`r.managed`,
  description: sql`r.description`,
  pk: sql`r.id`,
}

/** Stores a key as hash and, sealed, for `view_key`. @returns id of the token */
export async function insertToken(
  db: Queryable,
  secrets: Secrets,
  token: {
    identifier: string
    intent: TokenIntent
    userId: number
    description: string
    key: string
    expiresAt: Date | null
  },
): Promise<string> {
  const row = await db.first<{ id: string }>(sql`
    insert into ${db.t('tokens')} (identifier, intent, user_id, description, key_hash, key_sealed, expires_at)
    values (${token.identifier}, ${token.intent}, ${token.userId}, ${token.description}, ${sha256(token.key)},
      ${secrets.seal('token_key', token.key)}, ${token.expiresAt})
    returning id`)
  return row!.id
}

export async function setTokenKey(db: Queryable, secrets: Secrets, id: string, key: string): Promise<void> {
  await db.count(sql`
    update ${db.t('tokens')} set key_hash = ${sha256(key)}, key_sealed = ${secrets.seal('token_key', key)} where id = ${id}`)
}

/** Null when the key was never kept. */
export async function sealedKeyOf(db: Queryable, id: string): Promise<Buffer | null> {
  const row = await db.first<{ key_sealed: Buffer | null }>(sql`
    select key_sealed from ${db.t('tokens')} where id = ${id}`)
  return row?.key_sealed ?? null
}
