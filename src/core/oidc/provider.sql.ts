import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

export interface RedirectUri {
  matching_mode: 'strict' | 'regex'
  url: string
  redirect_uri_type: 'authorization' | 'logout'
}

export interface MappingRow {
  managed: string | null
  name: string
  scope_name: string
  description: string
}

export interface ProviderRow {
  id: number
  name: string
  is_proxy: boolean
  client_type: 'confidential' | 'public'
  grant_types: string[]
  client_id: string
  client_secret_sealed: Buffer
  redirect_uris: RedirectUri[]
  access_code_validity: string
  access_token_validity: string
  refresh_token_validity: string
  refresh_token_threshold: string
  include_claims_in_id_token: boolean
  sub_mode: string
  issuer_mode: 'per_provider' | 'global'
  require_pkce: boolean
  has_signing_key: boolean
  has_encryption_key: boolean
  certificate_pem: string | null
  private_key_sealed: Buffer | null
  fingerprint_sha256: string | null
  authentication_flow_id: string | null
  authentication_flow_slug: string | null
  authorization_flow_id: string
  invalidation_flow_id: string
  application_id: string | null
  application_slug: string | null
  application_name: string | null
  application_launch_url: string | null
  external_host: string | null
  policy_engine_mode: 'any' | 'all' | null
  mappings: MappingRow[]
}

export type ProviderKey = { clientId: string } | { slug: string } | { id: number }

/** A provider with its application, scope mappings (by name) and signing key, in one statement. */
export async function findProviderRow(db: Queryable, key: ProviderKey): Promise<ProviderRow | undefined> {
  return db.first<ProviderRow>(sql`
    select p.id, p.name, x.provider_id is not null as is_proxy, o.client_type, o.grant_types, o.client_id, o.client_secret_sealed,
      o.redirect_uris, o.access_code_validity, o.access_token_validity, o.refresh_token_validity, o.refresh_token_threshold,
      o.include_claims_in_id_token, o.sub_mode, o.issuer_mode, o.require_pkce, o.signing_key_id is not null as has_signing_key,
      o.encryption_key_id is not null as has_encryption_key, k.certificate_pem, k.private_key_sealed, k.fingerprint_sha256,
      f.id as authentication_flow_id, f.slug as authentication_flow_slug, p.authorization_flow_id, p.invalidation_flow_id, a.id as application_id,
      a.slug as application_slug, a.name as application_name, a.meta_launch_url as application_launch_url, x.external_host,
      a.policy_engine_mode,
      coalesce((
        select json_agg(json_build_object('managed', m.managed, 'name', m.name, 'scope_name', m.scope_name,
          'description', m.description) order by m.name)
        from ${db.t('provider_property_mappings')} l join ${db.t('property_mappings')} m on m.id = l.mapping_id
        where l.provider_id = p.id and m.type = 'scope'
      ), '[]') as mappings
    from ${db.t('oauth2_providers')} o
    join ${db.t('providers')} p on p.id = o.provider_id
    left join ${db.t('proxy_providers')} x on x.provider_id = o.provider_id
    left join ${db.t('applications')} a on a.provider_id = p.id
    left join ${db.t('certificate_keypairs')} k on k.id = o.signing_key_id
    left join ${db.t('flows')} f on f.id = p.authentication_flow_id
    where ${chosenBy(key)}`)
}

function chosenBy(key: ProviderKey) {
  if ('clientId' in key) return sql`o.client_id = ${key.clientId}`
  return 'slug' in key ? sql`a.slug = ${key.slug}` : sql`p.id = ${key.id}`
}

/** True when `origin` is the origin of a strict redirect URI of any provider; for CORS preflights, which name no client. */
export async function isOriginOfAnyClient(db: Queryable, origin: string): Promise<boolean> {
  const row = await db.first<{ known: boolean }>(sql`
    select exists (
      select from ${db.t('oauth2_providers')} o, jsonb_array_elements(o.redirect_uris) as u
      where u ->> 'matching_mode' = 'strict'
        and (u ->> 'url' = ${origin} or starts_with(u ->> 'url', ${`${origin}/`}) or starts_with(u ->> 'url', ${`${origin}?`}))
    ) as known`)
  return row?.known ?? false
}

export async function findFlowId(db: Queryable, slug: string): Promise<string | undefined> {
  return (await db.first<{ id: string }>(sql`select id from ${db.t('flows')} where slug = ${slug}`))?.id
}
