import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { asked, containsText, equals, equalsIgnoringCase, isNull } from '../api/filters.sql.ts'
import type { Condition, Ordering, Table } from '../api/resource.sql.ts'
import type { RedirectUri } from '../oidc/provider.sql.ts'
import { federatedIds, withMapping } from './oauth2-providers.sql.ts'
import type { ProviderRow } from './provider-shape.ts'
import { providerColumns } from './providers.sql.ts'
import type { ProxySettings } from './proxy-settings.ts'

export interface ProxyRow extends ProviderRow, ProxySettings {
  client_id: string
  redirect_uris: RedirectUri[]
  cookie_secret_sealed: Buffer
  /** names of the outposts that serve it */
  outposts: string[]
  federated: number[]
}

export interface ProxyQuery {
  application__isnull?: boolean
  authorization_flow__slug__iexact?: string
  basic_auth_enabled__iexact?: boolean
  basic_auth_password_attribute__iexact?: string
  basic_auth_user_attribute__iexact?: string
  certificate__kp_uuid__iexact?: string
  certificate__name__iexact?: string
  cookie_domain__iexact?: string
  external_host__iexact?: string
  internal_host__iexact?: string
  internal_host_ssl_validation__iexact?: boolean
  mode__iexact?: string
  name__iexact?: string
  property_mappings__iexact?: string[]
  search?: string
  skip_path_regex__iexact?: string
}

export function proxyTable(db: Queryable): Table {
  return {
    key: sql`r.id`,
    from: sql`${db.t('providers')} r
      join ${db.t('oauth2_providers')} o on o.provider_id = r.id
      join ${db.t('proxy_providers')} x on x.provider_id = r.id
      left join ${db.t('applications')} a on a.provider_id = r.id`,
    columns: sql`${providerColumns(db)}, o.client_id, o.redirect_uris, o.access_token_validity, o.refresh_token_validity, x.mode,
      x.external_host, x.internal_host, x.internal_host_ssl_validation, x.certificate_id as certificate, x.skip_path_regex,
      x.basic_auth_enabled, x.basic_auth_user_attribute, x.basic_auth_password_attribute, x.intercept_header_auth,
      x.cookie_domain, x.cookie_secret_sealed, ${federatedIds(db)} as federated,
      array(select p.name from ${db.t('outpost_providers')} l join ${db.t('outposts')} p on p.id = l.outpost_id
        where l.provider_id = r.id order by p.name) as outposts`,
  }
}

export function proxyConditions(db: Queryable, q: ProxyQuery): Condition[] {
  return asked([
    isNull(sql`a.id`, q.application__isnull),
    equalsIgnoringCase(
      sql`(select f.slug from ${db.t('flows')} f where f.id = r.authorization_flow_id)`,
      q.authorization_flow__slug__iexact,
    ),
    equals(sql`x.basic_auth_enabled`, q.basic_auth_enabled__iexact),
    equalsIgnoringCase(sql`x.basic_auth_password_attribute`, q.basic_auth_password_attribute__iexact),
    equalsIgnoringCase(sql`x.basic_auth_user_attribute`, q.basic_auth_user_attribute__iexact),
    equals(sql`x.certificate_id`, q.certificate__kp_uuid__iexact),
    equalsIgnoringCase(
      sql`(select k.name from ${db.t('certificate_keypairs')} k where k.id = x.certificate_id)`,
      q.certificate__name__iexact,
    ),
    equalsIgnoringCase(sql`x.cookie_domain`, q.cookie_domain__iexact),
    equalsIgnoringCase(sql`x.external_host`, q.external_host__iexact),
    equalsIgnoringCase(sql`x.internal_host`, q.internal_host__iexact),
    equals(sql`x.internal_host_ssl_validation`, q.internal_host_ssl_validation__iexact),
    equalsIgnoringCase(sql`x.mode`, q.mode__iexact),
    equalsIgnoringCase(sql`r.name`, q.name__iexact),
    withMapping(db, q.property_mappings__iexact),
    equalsIgnoringCase(sql`x.skip_path_regex`, q.skip_path_regex__iexact),
    containsText([sql`r.name`], q.search),
  ])
}

export const proxyOrdering: Ordering = {
  name: sql`r.name`,
  mode: sql`x.mode`,
  external_host: sql`x.external_host`,
  internal_host: sql`x.internal_host`,
  pk: sql`r.id`,
}

export async function findProxyProvider(db: Queryable, id: number): Promise<ProxyRow | undefined> {
  const table = proxyTable(db)
  return db.first<ProxyRow>(sql`select ${table.columns} from ${table.from} where r.id = ${id}`)
}
