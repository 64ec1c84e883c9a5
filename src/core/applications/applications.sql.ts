import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { asked, containsText, equals } from '../api/filters.sql.ts'
import type { Condition, Ordering, Table } from '../api/resource.sql.ts'
import { visibleRow, visibleTo } from '../api/visible.sql.ts'
import { type MediaAddresses, mediaAddresses } from '../media/media.sql.ts'
import { isOpen, judgedBindings } from '../policies/bindings.sql.ts'
import type { ProviderRow } from '../providers/provider-shape.ts'
import { nestedProvider, providerVisible } from '../providers/providers.sql.ts'
import type { Principal, PrincipalUser } from '../sessions/principal.ts'

export interface ApplicationRow {
  id: string
  slug: string
  name: string
  group: string
  provider_id: number | null
  /** null when there is none or the caller may not view it */
  provider: ProviderRow | null
  policy_engine_mode: 'any' | 'all'
  open_in_new_tab: boolean
  meta_launch_url: string
  meta_icon: string
  /** of the files its icon names */
  icon_files: MediaAddresses
  meta_description: string
  meta_publisher: string
  meta_hide: boolean
  external_host: string | null
  first_redirect_uri: string | null
  /** the user a list was asked for; null = the caller */
  viewer: PrincipalUser | null
}

export interface ApplicationQuery {
  for_user?: number
  group?: string
  meta_description?: string
  meta_launch_url?: string
  meta_publisher?: string
  name?: string
  only_with_launch_url?: boolean
  search?: string
  slug?: string
  superuser_full_list?: boolean
}

const view = 'authentik_core.view_application'

export function applicationTable(db: Queryable, q: ApplicationQuery, principal: Principal): Table {
  const viewer =
    q.for_user === undefined
      ? sql`null::json`
      : sql`(select json_build_object('id', u.id, 'uuid', u.uuid, 'uid', u.uid, 'username', u.username, 'name', u.name,
          'email', u.email) from ${db.t('users')} u where u.id = ${q.for_user})`
  return {
    key: sql`r.slug`,
    from: sql`${db.t('applications')} r
      left join ${db.t('providers')} p on p.id = r.provider_id
      left join ${db.t('oauth2_providers')} o on o.provider_id = p.id
      left join ${db.t('proxy_providers')} x on x.provider_id = p.id`,
    columns: sql`r.id, r.slug, r.name, r."group", r.provider_id, r.policy_engine_mode, r.open_in_new_tab, r.meta_launch_url,
      r.meta_icon, ${mediaAddresses(db, [sql`r.meta_icon`])} as icon_files, r.meta_description, r.meta_publisher, r.meta_hide, x.external_host,
      case when p.type = 'oauth2' then ${firstRedirectUri()} end as first_redirect_uri, ${viewer} as viewer,
      case when p.id is not null and ${providerVisible(db, principal, 'view', 'p')} then ${nestedProvider(db)} end as provider`,
  }
}

/** First strictly matched redirect URI of `o`. */
function firstRedirectUri() {
  return sql`(select e.uri ->> 'url' from jsonb_array_elements(o.redirect_uris) with ordinality e (uri, position)
    where e.uri ->> 'matching_mode' = 'strict' and coalesce(e.uri ->> 'redirect_uri_type', 'authorization') = 'authorization'
    order by e.position limit 1)`
}

/** Applications the principal may view: by permission, or because he may open them. */
export function applicationVisible(db: Queryable, principal: Principal): Condition {
  return sql<boolean>`(${visibleRow(db, principal, view)} or ${openTo(db, principal.user.id)})`
}

/** Application `r` is open to the user. */
function openTo(db: Queryable, userId: number): Condition {
  return sql<boolean>`(select ${isOpen(sql`r.policy_engine_mode`)} from (select) as target
    ${judgedBindings(db, userId, sql`r.id`)})`
}

/**
 * Without being asked otherwise, a list is what the caller himself may open, whoever he is. Somebody else's, and the full one, need
 * view on the applications.
 */
export function applicationConditions(db: Queryable, q: ApplicationQuery, principal: Principal): Condition[] {
  const others = q.for_user !== undefined && q.for_user !== principal.user.id
  return asked([
    q.superuser_full_list === true ? undefined : openTo(db, q.for_user ?? principal.user.id),
    q.superuser_full_list === true || others ? visibleRow(db, principal, view) : undefined,
    others
      ? sql<boolean>`exists (select from ${db.t('users')} u where u.id = ${q.for_user} and u.is_active
          and ${visibleTo(db, principal, 'authentik_core.view_user', sql`u.id`)})`
      : undefined,
    q.only_with_launch_url === true ? leadsSomewhere() : undefined,
    equals(sql`r.name`, q.name),
    equals(sql`r.slug`, q.slug),
    equals(sql`r."group"`, q.group),
    equals(sql`r.meta_description`, q.meta_description),
    equals(sql`r.meta_launch_url`, q.meta_launch_url),
    equals(sql`r.meta_publisher`, q.meta_publisher),
    containsText(
      [sql`r.name`, sql`r.slug`, sql`r."group"`, sql`r.meta_description`, sql`r.meta_publisher`],
      q.search,
    ),
  ])
}

/** What the library shows: an address to go to, and not hidden. */
function leadsSomewhere(): Condition {
  return sql<boolean>`(not r.meta_hide and r.meta_launch_url <> 'blank://blank' and (
    r.meta_launch_url <> '' or x.external_host <> '' or (p.type = 'oauth2' and ${firstRedirectUri()} ~* '^https?://')))`
}

export const applicationOrdering: Ordering = {
  name: sql`lower(r.name)`,
  slug: sql`r.slug`,
  group: sql`r."group"`,
  meta_description: sql`r.meta_description`,
  meta_publisher: sql`r.meta_publisher`,
  policy_engine_mode: sql`r.policy_engine_mode`,
  pk: sql`r.id`,
}

/** Client id of a proxy provider; undefined for any other. */
export async function proxyClientId(db: Queryable, providerId: number): Promise<string | undefined> {
  const row = await db.first<{ client_id: string }>(sql`
    select o.client_id from ${db.t('oauth2_providers')} o
    join ${db.t('proxy_providers')} x on x.provider_id = o.provider_id where o.provider_id = ${providerId}`)
  return row?.client_id
}

/** Deletes the application with the bindings that said who may open it. */
export async function deleteApplication(db: Queryable, id: string): Promise<void> {
  await db.count(sql`
    with bound as (delete from ${db.t('policy_bindings')} where target_id = ${id})
    delete from ${db.t('applications')} where id = ${id}`)
}
