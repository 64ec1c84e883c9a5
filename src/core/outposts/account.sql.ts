import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { embeddedOutpostManaged } from '../../wire/outpost.ts'
import { roleOf } from './permissions.sql.ts'

export type OutpostType = 'proxy' | 'ldap' | 'radius' | 'rac'

export interface NewOutpost {
  id: string
  name: string
  type: OutpostType
  managed: string | null
  serviceConnectionId: string | null
  config: Record<string, unknown>
  userId: number
}

export async function insertOutpost(db: Queryable, o: NewOutpost): Promise<void> {
  await db.count(sql`
    insert into ${db.t('outposts')} (id, name, type, managed, service_connection_id, config, user_id)
    values (${o.id}, ${o.name}, ${o.type}, ${o.managed}, ${o.serviceConnectionId}, ${JSON.stringify(o.config)}, ${o.userId})`)
}

/** Makes the outpost's providers exactly these. @returns number of rows written */
export async function setProviders(db: Queryable, outpostId: string, providers: number[]): Promise<number> {
  const row = await db.first<{ changed: number }>(sql`
    with gone as (
      delete from ${db.t('outpost_providers')} where outpost_id = ${outpostId} and provider_id <> all(${providers}::int[])
      returning 1
    ), added as (
      insert into ${db.t('outpost_providers')} (outpost_id, provider_id)
      select ${outpostId}, id from unnest(${providers}::int[]) as id on conflict do nothing returning 1
    )
    select ((select count(*) from gone) + (select count(*) from added))::int as changed`)
  return row?.changed ?? 0
}

export async function addProviders(db: Queryable, outpostId: string, providers: number[]): Promise<number> {
  return db.count(sql`
    insert into ${db.t('outpost_providers')} (outpost_id, provider_id)
    select ${outpostId}, id from unnest(${providers}::int[]) as id on conflict do nothing`)
}

export interface AccountRow {
  id: string
  name: string
  user_id: number
  /** the token is there in its right shape */
  has_token: boolean
}

/** Outposts with the state of their tokens; all when no ids are given. */
export async function accountsOf(db: Queryable, ids?: string[]): Promise<AccountRow[]> {
  return db.rows<AccountRow>(sql`
    select o.id, o.name, o.user_id, exists (
      select from ${db.t('tokens')} t where t.identifier = ${tokenIdentifier} and t.intent = 'api' and t.user_id = o.user_id
        and t.expires_at is null and t.managed = 'goauthentik.io/outpost/' || t.identifier and t.key_sealed is not null
    ) as has_token
    from ${db.t('outposts')} o where ${ids ?? null}::uuid[] is null or o.id = any(${ids ?? null}::uuid[]) order by o.id`)
}

/** Identifier of the token of `o`, a row of `outposts`. */
const tokenIdentifier = sql`('ak-outpost-' || o.id::text || '-api')`

/** Account, role and their tie as they must be, writing only what differs. The account's `is_active` is the administrator's. */
export async function repairAccount(
  db: Queryable,
  account: { outpostId: string; userId: number; username: string; name: string; path: string },
): Promise<void> {
  await db.count(sql`
    update ${db.t('users')} set username = ${account.username}, name = ${account.name}, type = 'internal_service_account',
      path = ${account.path}, password = null, updated_at = now()
    where id = ${account.userId} and (username, name, type, path) is distinct from
      (${account.username}, ${account.name}, 'internal_service_account', ${account.path})
      or (id = ${account.userId} and password is not null)`)
  await db.count(sql`
    with role as (
      insert into ${db.t('roles')} as r (name, managed) values (${account.username}, ${roleOf(sql`${account.outpostId}`)})
      on conflict (managed) do nothing returning r.id
    ), known as (
      select id from role union all
      select id from ${db.t('roles')} where managed = ${roleOf(sql`${account.outpostId}`)}
    )
    insert into ${db.t('role_users')} (role_id, user_id) select id, ${account.userId} from known on conflict do nothing`)
}

/** Replaces whatever has the token's identifier or mark. */
export async function replaceToken(
  db: Queryable,
  token: {
    identifier: string
    managed: string
    userId: number
    description: string
    keyHash: Buffer
    keySealed: Buffer
  },
): Promise<void> {
  await db.count(
    sql`delete from ${db.t('tokens')} where identifier = ${token.identifier} or managed = ${token.managed}`,
  )
  await db.count(sql`
    insert into ${db.t('tokens')} (identifier, intent, user_id, description, managed, key_hash, key_sealed)
    values (${token.identifier}, 'api', ${token.userId}, ${token.description}, ${token.managed}, ${token.keyHash}, ${token.keySealed})`)
}

/** Sealed key of an outpost's token. */
export async function sealedTokenOf(db: Queryable, outpostId: string): Promise<Buffer | undefined> {
  const row = await db.first<{ key_sealed: Buffer | null }>(sql`
    select t.key_sealed from ${db.t('outposts')} o join ${db.t('tokens')} t on t.identifier = ${tokenIdentifier}
      and t.user_id = o.user_id and t.intent = 'api' where o.id = ${outpostId}`)
  return row?.key_sealed ?? undefined
}

/** Deletes the outpost with account, token and role. @returns id of the account, undefined when there was no such outpost */
export async function deleteOutpostRows(db: Queryable, outpostId: string): Promise<number | undefined> {
  const row = await db.first<{ user_id: number }>(sql`
    delete from ${db.t('outposts')} where id = ${outpostId} returning user_id`)
  if (row === undefined) return undefined
  await db.count(sql`
    with role as (delete from ${db.t('roles')} where managed = ${roleOf(sql`${outpostId}`)})
    delete from ${db.t('users')} where id = ${row.user_id} and type = 'internal_service_account'`)
  return row.user_id
}

export interface EmbeddedRow {
  id: string
  name: string
  type: OutpostType
  managed: string | null
}

/** The embedded outpost: by its mark, else by its name. */
export async function findEmbedded(db: Queryable, name: string): Promise<EmbeddedRow | undefined> {
  return db.first<EmbeddedRow>(sql`
    select id, name, type, managed from ${db.t('outposts')}
    where managed = ${embeddedOutpostManaged} or (name = ${name} and coalesce(managed, '') = '')
    order by managed = ${embeddedOutpostManaged} desc nulls last limit 1 for update`)
}

export async function markEmbedded(db: Queryable, id: string, name: string): Promise<void> {
  await db.count(sql`
    update ${db.t('outposts')} set managed = ${embeddedOutpostManaged}, name = ${name}, type = 'proxy', updated_at = now()
    where id = ${id}`)
}

/** The first connection a new embedded outpost gets: Kubernetes before Docker. */
export async function firstConnection(db: Queryable): Promise<string | null> {
  const row = await db.first<{ id: string }>(sql`
    select id from ${db.t('service_connections')} order by type = 'kubernetes' desc, created_at, id limit 1`)
  return row?.id ?? null
}
