import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { asked, containsText, equals } from '../api/filters.sql.ts'
import type { Condition, Ordering, Table } from '../api/resource.sql.ts'
import { visibleTo } from '../api/visible.sql.ts'
import type { RedirectUri } from '../oidc/provider.sql.ts'
import type { Principal } from '../sessions/principal.ts'
import type { ProviderRow } from './provider-shape.ts'
import { providerPermission } from './provider-shape.ts'
import { providerColumns } from './providers.sql.ts'

export interface OAuth2Row extends ProviderRow {
  client_type: 'confidential' | 'public'
  grant_types: string[]
  client_id: string
  client_secret_sealed: Buffer
  redirect_uris: RedirectUri[]
  logout_uri: string
  logout_method: 'backchannel' | 'frontchannel'
  access_code_validity: string
  access_token_validity: string
  refresh_token_validity: string
  refresh_token_threshold: string
  include_claims_in_id_token: boolean
  signing_key_id: string | null
  encryption_key_id: string | null
  sub_mode: string
  issuer_mode: 'per_provider' | 'global'
  require_pkce: boolean
  federated: number[]
  /** the caller may change it, and so may read its secret */
  may_change: boolean
}

export interface OAuth2Query {
  access_code_validity?: string
  access_token_validity?: string
  application?: string
  authorization_flow?: string
  client_id?: string
  client_type?: string
  include_claims_in_id_token?: boolean
  issuer_mode?: string
  name?: string
  property_mappings?: string[]
  refresh_token_validity?: string
  search?: string
  signing_key?: string
  sub_mode?: string
}

/** Proxy providers are clients as well, but are written by a resource of their own. */
export function oauth2Table(db: Queryable, _query: OAuth2Query, principal: Principal): Table {
  return {
    key: sql`r.id`,
    from: sql`${db.t('providers')} r
      join ${db.t('oauth2_providers')} o on o.provider_id = r.id and r.type = 'oauth2'
      left join ${db.t('applications')} a on a.provider_id = r.id`,
    columns: sql`${providerColumns(db)}, o.client_type, o.grant_types, o.client_id, o.client_secret_sealed, o.redirect_uris,
      o.logout_uri, o.logout_method, o.access_code_validity, o.access_token_validity, o.refresh_token_validity,
      o.refresh_token_threshold, o.include_claims_in_id_token, o.signing_key_id, o.encryption_key_id, o.sub_mode, o.issuer_mode,
      o.require_pkce, ${federatedIds(db)} as federated,
      ${visibleTo(db, principal, providerPermission('oauth2', 'change'), sql`r.id`)} as may_change`,
  }
}

/** Ids of the providers whose tokens `r` may introspect. */
export function federatedIds(db: Queryable) {
  return sql`array(select f.federated_id from ${db.t('jwt_federation_providers')} f where f.provider_id = r.id order by 1)`
}

export function oauth2Conditions(db: Queryable, q: OAuth2Query): Condition[] {
  return asked([
    equals(sql`r.name`, q.name),
    equals(sql`o.access_code_validity`, q.access_code_validity),
    equals(sql`o.access_token_validity`, q.access_token_validity),
    equals(sql`o.refresh_token_validity`, q.refresh_token_validity),
    equals(sql`a.id`, q.application),
    equals(sql`r.authorization_flow_id`, q.authorization_flow),
    equals(sql`o.client_id`, q.client_id),
    equals(sql`o.client_type`, q.client_type),
    equals(sql`o.include_claims_in_id_token`, q.include_claims_in_id_token),
    equals(sql`o.issuer_mode`, q.issuer_mode),
    equals(sql`o.signing_key_id`, q.signing_key),
    equals(sql`o.sub_mode`, q.sub_mode),
    withMapping(db, q.property_mappings),
    containsText([sql`r.name`], q.search),
  ])
}

/** Providers with one of these mappings. */
export function withMapping(db: Queryable, ids: string[] | undefined): Condition | undefined {
  if (ids === undefined) return undefined
  return sql<boolean>`exists (select from ${db.t('provider_property_mappings')} l
    where l.provider_id = r.id and l.mapping_id = any(${ids}::uuid[]))`
}

export const oauth2Ordering: Ordering = {
  name: sql`r.name`,
  client_id: sql`o.client_id`,
  client_type: sql`o.client_type`,
  issuer_mode: sql`o.issuer_mode`,
  sub_mode: sql`o.sub_mode`,
  pk: sql`r.id`,
}
