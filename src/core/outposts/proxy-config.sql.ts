import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import type { ProxyMode } from '../../wire/outpost.ts'
import { asked, containsText, equals } from '../api/filters.sql.ts'
import { orderBy } from '../api/resource.sql.ts'
import { visibleTo } from '../api/visible.sql.ts'
import type { Principal } from '../sessions/principal.ts'

export interface ProxyConfigRow {
  pk: number
  name: string
  mode: ProxyMode
  external_host: string
  internal_host: string
  internal_host_ssl_validation: boolean
  client_id: string
  client_secret_sealed: Buffer
  cookie_secret_sealed: Buffer
  certificate: string | null
  skip_path_regex: string
  basic_auth_enabled: boolean
  basic_auth_user_attribute: string
  basic_auth_password_attribute: string
  intercept_header_auth: boolean
  cookie_domain: string
  access_token_validity: string
  scopes: string[]
  application_slug: string
  application_name: string
}

export interface ProxyConfigQuery {
  name?: string
  search?: string
  ordering?: string
}

/** Proxy providers that have an application and that the caller may view, and how many there are, in one statement. */
export async function proxyConfigRows(
  db: Queryable,
  principal: Principal,
  query: ProxyConfigQuery,
  window: { limit: number; offset: number },
): Promise<(ProxyConfigRow & { total: number })[]> {
  const where = [
    visibleTo(db, principal, 'authentik_providers_proxy.view_proxyprovider', sql`p.id`),
    ...asked([equals(sql`p.name`, query.name), containsText([sql`p.name`], query.search)]),
  ]
  const order = orderBy({ name: sql`p.name`, pk: sql`p.id` }, query.ordering)
  return db.rows<ProxyConfigRow & { total: number }>(sql`
    select p.id as pk, p.name, x.mode, x.external_host, x.internal_host, x.internal_host_ssl_validation, o.client_id,
      o.client_secret_sealed, x.cookie_secret_sealed, x.certificate_id as certificate, x.skip_path_regex, x.basic_auth_enabled,
      x.basic_auth_user_attribute, x.basic_auth_password_attribute, x.intercept_header_auth, x.cookie_domain,
      o.access_token_validity, a.slug as application_slug, a.name as application_name,
      array(
        select distinct m.scope_name from ${db.t('provider_property_mappings')} l
        join ${db.t('property_mappings')} m on m.id = l.mapping_id
        where l.provider_id = p.id and m.type = 'scope' order by 1
      ) as scopes, (count(*) over ())::int as total
    from ${db.t('proxy_providers')} x
    join ${db.t('oauth2_providers')} o on o.provider_id = x.provider_id
    join ${db.t('providers')} p on p.id = x.provider_id
    join ${db.t('applications')} a on a.provider_id = p.id
    where ${sql.join(where, sql` and `)} order by ${sql.join([...order, sql`p.id`])}
    limit ${window.limit} offset ${window.offset}`)
}
