import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import type { ProxyMode } from '../../wire/outpost.ts'
import { asked, containsText, equalsIgnoringCase } from '../api/filters.sql.ts'
import type { Condition, Ordering, Table } from '../api/resource.sql.ts'
import { visibleTo } from '../api/visible.sql.ts'
import type { ProviderRow } from '../providers/provider-shape.ts'
import type { Principal } from '../sessions/principal.ts'
import type { OutpostType } from './account.sql.ts'

export interface OutpostRow {
  id: string
  name: string
  type: OutpostType
  managed: string | null
  config: Record<string, unknown>
  user_id: number
  revision: string
  /** by name */
  providers: ProviderRow[]
  connection_id: string | null
  connection_name: string | null
  connection_local: boolean | null
  connection_type: 'docker' | 'kubernetes' | null
}

export interface OutpostQuery {
  managed__icontains?: string
  managed__iexact?: string
  name__icontains?: string
  name__iexact?: string
  providers__isnull?: boolean
  providers_by_pk?: number[]
  search?: string
  service_connection__name__icontains?: string
  service_connection__name__iexact?: string
}

export function outpostTable(db: Queryable): Table {
  return {
    key: sql`r.id`,
    from: sql`${db.t('outposts')} r left join ${db.t('service_connections')} s on s.id = r.service_connection_id`,
    columns: sql`r.id, r.name, r.type, r.managed, r.config, r.user_id, r.revision,
      s.id as connection_id, s.name as connection_name, s.local as connection_local, s.type as connection_type,
      coalesce((
        select json_agg(json_build_object('id', p.id, 'name', p.name, 'type', p.type,
          'authentication_flow_id', p.authentication_flow_id, 'authorization_flow_id', p.authorization_flow_id,
          'invalidation_flow_id', p.invalidation_flow_id, 'application_slug', a.slug, 'application_name', a.name,
          'property_mappings', array(
            select m.mapping_id from ${db.t('provider_property_mappings')} m where m.provider_id = p.id order by 1)
          ) order by p.name)
        from ${db.t('outpost_providers')} l join ${db.t('providers')} p on p.id = l.provider_id
        left join ${db.t('applications')} a on a.provider_id = p.id where l.outpost_id = r.id
      ), '[]') as providers`,
  }
}

export function outpostConditions(db: Queryable, q: OutpostQuery): Condition[] {
  const attached = db.t('outpost_providers')
  return asked([
    equalsIgnoringCase(sql`r.name`, q.name__iexact),
    containsText([sql`r.name`], q.name__icontains),
    equalsIgnoringCase(sql`r.managed`, q.managed__iexact),
    containsText([sql`r.managed`], q.managed__icontains),
    equalsIgnoringCase(sql`s.name`, q.service_connection__name__iexact),
    containsText([sql`s.name`], q.service_connection__name__icontains),
    q.providers__isnull === undefined
      ? undefined
      : sql<boolean>`exists (select from ${attached} l where l.outpost_id = r.id) <> ${q.providers__isnull}`,
    q.providers_by_pk === undefined
      ? undefined
      : sql<boolean>`exists (
          select from ${attached} l where l.outpost_id = r.id and l.provider_id = any(${q.providers_by_pk}::int[]))`,
    q.search === undefined || q.search === ''
      ? undefined
      : sql<boolean>`(strpos(lower(r.name), lower(${q.search})) > 0 or exists (
          select from ${attached} l join ${db.t('providers')} p on p.id = l.provider_id
          where l.outpost_id = r.id and strpos(lower(p.name), lower(${q.search})) > 0))`,
  ])
}

export const outpostOrdering: Ordering = {
  name: sql`r.name`,
  service_connection__name: sql`s.name`,
  type: sql`r.type`,
  managed: sql`r.managed`,
  pk: sql`r.id`,
}

export interface ProviderToAttach {
  id: number
  name: string
  type: 'oauth2' | 'proxy'
  mode: ProxyMode | null
  external_host: string | null
  certificate_id: string | null
  /** by the caller */
  changeable: boolean
}

/** Those of the providers that exist for the caller. */
export async function findProviders(
  db: Queryable,
  principal: Principal,
  ids: number[],
): Promise<ProviderToAttach[]> {
  const may = (action: 'view' | 'change') => sql`case when p.type = 'proxy' then
    ${visibleTo(db, principal, `authentik_providers_proxy.${action}_proxyprovider`, sql`p.id`)}
    else ${visibleTo(db, principal, `authentik_providers_oauth2.${action}_oauth2provider`, sql`p.id`)} end`
  return db.rows<ProviderToAttach>(sql`
    select p.id, p.name, p.type, x.mode, x.external_host, x.certificate_id, ${may('change')} as changeable
    from ${db.t('providers')} p
    left join ${db.t('proxy_providers')} x on x.provider_id = p.id
    where p.id = any(${ids}::int[]) and ${may('view')}`)
}

export async function connectionType(
  db: Queryable,
  id: string,
): Promise<'docker' | 'kubernetes' | undefined> {
  const row = await db.first<{ type: 'docker' | 'kubernetes' }>(sql`
    select type from ${db.t('service_connections')} where id = ${id}`)
  return row?.type
}

export interface InstanceRow {
  instance_id: string
  hello: Record<string, unknown>
  last_seen_at: Date
}

/** Processes of an outpost that reported themselves within the last 15 seconds. */
export async function liveInstances(db: Queryable, outpostId: string): Promise<InstanceRow[]> {
  return db.rows<InstanceRow>(sql`
    select instance_id, hello, last_seen_at from ${db.t('outpost_instances')}
    where outpost_id = ${outpostId} and expires_at > now() order by instance_id`)
}
