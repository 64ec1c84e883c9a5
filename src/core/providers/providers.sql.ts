import type { RawBuilder } from 'kysely'
import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { asked, containsText, isNull } from '../api/filters.sql.ts'
import type { Condition, Ordering, Table } from '../api/resource.sql.ts'
import { visibleTo } from '../api/visible.sql.ts'
import type { Principal } from '../sessions/principal.ts'
import { providerPermission } from './provider-shape.ts'

/** Columns of `ProviderRow`, for a statement with `r` (providers) and `a` (its application). */
export function providerColumns(db: Queryable) {
  return sql`r.id, r.type, r.name, r.authentication_flow_id, r.authorization_flow_id, r.invalidation_flow_id,
    array(select l.mapping_id from ${db.t('provider_property_mappings')} l where l.provider_id = r.id order by 1) as property_mappings,
    a.slug as application_slug, a.name as application_name`
}

/** A `ProviderRow` as one JSON value, for the provider `p` of the application `r`. */
export function nestedProvider(db: Queryable) {
  return sql`json_build_object('id', p.id, 'type', p.type, 'name', p.name, 'authentication_flow_id', p.authentication_flow_id,
    'authorization_flow_id', p.authorization_flow_id, 'invalidation_flow_id', p.invalidation_flow_id,
    'property_mappings', array(
      select l.mapping_id from ${db.t('provider_property_mappings')} l where l.provider_id = p.id order by 1),
    'application_slug', r.slug, 'application_name', r.name)`
}

export interface ProviderQuery {
  application__isnull?: boolean
  backchannel?: boolean
  search?: string
}

export function providerTable(db: Queryable): Table {
  return {
    key: sql`r.id`,
    from: sql`${db.t('providers')} r left join ${db.t('applications')} a on a.provider_id = r.id
      left join ${db.t('oauth2_providers')} o on o.provider_id = r.id`,
    columns: sql`${providerColumns(db)}, o.client_id`,
  }
}

export function providerConditions(_db: Queryable, q: ProviderQuery): Condition[] {
  return asked([
    isNull(sql`a.id`, q.application__isnull),
    q.backchannel === true ? sql<boolean>`false` : undefined,
    containsText([sql`r.name`, sql`a.name`], q.search),
  ])
}

export const providerOrdering: Ordering = {
  name: sql`r.name`,
  application__name: sql`a.name`,
  pk: sql`r.id`,
}

/** True for providers on whose own kind the principal holds the action. @param alias of `providers` in the statement */
export function providerVisible(
  db: Queryable,
  principal: Principal,
  action: 'view' | 'change' | 'delete',
  alias: 'r' | 'p' = 'r',
): RawBuilder<boolean> {
  const id = sql.ref(`${alias}.id`)
  return sql<boolean>`case ${sql.ref(`${alias}.type`)}
    when 'proxy' then ${visibleTo(db, principal, providerPermission('proxy', action), id)}
    else ${visibleTo(db, principal, providerPermission('oauth2', action), id)} end`
}

/** Inserts the row of `providers` and that of `oauth2_providers`. @returns id of the provider */
export async function insertProvider(
  db: Queryable,
  base: Record<string, unknown>,
  oauth2: Record<string, unknown>,
): Promise<number> {
  const given = Object.entries(base).filter(([, value]) => value !== undefined)
  const row = await db.first<{ id: number }>(sql`
    insert into ${db.t('providers')} (${names(given)}) values (${values(given)}) returning id`)
  await insertPart(db, 'oauth2_providers', row!.id, oauth2)
  return row!.id
}

/** Inserts the part of a provider that is in a table of its kind; undefined = the column's default. */
export async function insertPart(
  db: Queryable,
  table: 'oauth2_providers' | 'proxy_providers',
  providerId: number,
  columns: Record<string, unknown>,
): Promise<void> {
  const given = Object.entries({ provider_id: providerId, ...columns }).filter(
    ([, value]) => value !== undefined,
  )
  await db.count(sql`insert into ${db.t(table)} (${names(given)}) values (${values(given)})`)
}

/** Writes the columns that are given; undefined = leave. */
export async function updatePart(
  db: Queryable,
  table: 'oauth2_providers' | 'proxy_providers',
  providerId: number,
  columns: Record<string, unknown>,
): Promise<void> {
  const given = Object.entries(columns).filter(([, value]) => value !== undefined)
  if (given.length === 0) return
  const parts = given.map(([name, value]) => sql`${sql.id(name)} = ${value}`)
  await db.count(sql`update ${db.t(table)} set ${sql.join(parts)} where provider_id = ${providerId}`)
}

function names(entries: [string, unknown][]) {
  return sql.join(entries.map(([name]) => sql.id(name)))
}

function values(entries: [string, unknown][]) {
  return sql.join(entries.map(([, value]) => sql`${value}`))
}

/** Makes the provider's mappings exactly these. @returns number of rows written */
export async function setMappings(db: Queryable, providerId: number, ids: string[]): Promise<number> {
  return setLinks(db, 'provider_property_mappings', 'mapping_id', 'uuid', providerId, ids)
}

/** Makes the providers whose tokens this one may introspect exactly these. @returns number of rows written */
export async function setFederated(db: Queryable, providerId: number, ids: number[]): Promise<number> {
  return setLinks(db, 'jwt_federation_providers', 'federated_id', 'int', providerId, ids)
}

async function setLinks(
  db: Queryable,
  table: string,
  column: string,
  type: 'uuid' | 'int',
  providerId: number,
  ids: (string | number)[],
): Promise<number> {
  const other = sql.id(column)
  const list = sql`${ids}::${sql.raw(type)}[]`
  const row = await db.first<{ changed: number }>(sql`
    with taken as (
      delete from ${db.t(table)} where provider_id = ${providerId} and ${other} <> all(${list}) returning 1
    ), given as (
      insert into ${db.t(table)} (provider_id, ${other})
      select ${providerId}, id from (select distinct unnest(${list}) as id) wanted on conflict do nothing returning 1
    )
    select ((select count(*) from taken) + (select count(*) from given))::int as changed`)
  return row?.changed ?? 0
}

/** Keeps others from changing a provider until the transaction ends; what it is must be read after this. */
export async function lockProvider(db: Queryable, providerId: number): Promise<void> {
  await db.rows(sql`select id from ${db.t('providers')} where id = ${providerId} for update`)
}

/** Deletes the provider with its parts; its application stays, without a provider. */
export async function deleteProvider(db: Queryable, providerId: number): Promise<void> {
  await db.count(sql`delete from ${db.t('providers')} where id = ${providerId}`)
}

/** The id of a flow, if there is one with this slug. */
export async function flowIdOf(db: Queryable, slug: string): Promise<string | undefined> {
  return (await db.first<{ id: string }>(sql`select id from ${db.t('flows')} where slug = ${slug}`))?.id
}

/** Whether a certificate is there with a private key of a kind that signs tokens. */
export async function canSign(db: Queryable, keypairId: string): Promise<boolean> {
  const row = await db.first<{ fit: boolean }>(sql`
    select private_key_sealed is not null and key_type in ('rsa', 'ec', 'ed25519') as fit
    from ${db.t('certificate_keypairs')} where id = ${keypairId}`)
  return row?.fit ?? false
}

/** Ids of the mappings with these marks. */
export async function managedMappings(db: Queryable, marks: string[]): Promise<string[]> {
  const rows = await db.rows<{ id: string }>(sql`
    select id from ${db.t('property_mappings')} where managed = any(${marks}::text[]) order by id`)
  return rows.map(row => row.id)
}

/** Whether there is such a provider and the principal may view it. */
export async function providerIsVisible(db: Queryable, principal: Principal, id: number): Promise<boolean> {
  const row = await db.first<{ visible: boolean }>(sql`
    select ${providerVisible(db, principal, 'view')} as visible from ${db.t('providers')} r where r.id = ${id}`)
  return row?.visible === true
}
