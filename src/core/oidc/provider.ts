// An OAuth2 client with all that a request for it needs. Nothing is kept between requests, so a change holds from the next one on.
import type { Queryable } from '../../pg/db.ts'
import type { Core } from '../core.ts'
import { durationMs } from '../duration.ts'
import {
  findProviderRow,
  type MappingRow,
  type ProviderKey,
  type ProviderRow,
  type RedirectUri,
} from './provider.sql.ts'

export interface ProviderApplication {
  id: string
  slug: string
  name: string
  /** as stored; empty = derived from the provider */
  metaLaunchUrl: string
  policyEngineMode: 'any' | 'all'
}

export interface Provider {
  id: number
  name: string
  isProxy: boolean
  clientType: 'confidential' | 'public'
  clientId: string
  clientSecret: string
  grantTypes: ReadonlySet<string>
  redirectUris: RedirectUri[]
  /** milliseconds */
  codeLifeMs: number
  accessTokenLifeMs: number
  refreshTokenLifeMs: number
  /** a refresh token that lives shorter than this is replaced when used; 0 = always */
  refreshThresholdMs: number
  claimsInIdToken: boolean
  subMode: string
  issuerMode: 'per_provider' | 'global'
  requirePkce: boolean
  /** null = HS256 with the client secret */
  signingKey: SigningKeyPair | null
  encrypted: boolean
  /** of a proxy provider, else null */
  externalHost: string | null
  /** null = the default of the host */
  authenticationFlow: { id: string; slug: string } | null
  authorizationFlowId: string
  invalidationFlowId: string
  application: ProviderApplication
  mappings: MappingRow[]
}

export interface SigningKeyPair {
  certificatePem: string
  /** sealed; null when only the certificate was stored */
  privateKeySealed: Buffer | null
  fingerprint: string
}

/**
 * Loads a client. One that no application uses does not exist.
 * @param db the pool, or a transaction
 */
export async function loadProvider(
  core: Pick<Core, 'secrets'>,
  db: Queryable,
  key: ProviderKey,
): Promise<Provider | undefined> {
  if (Object.values(key).some(value => typeof value === 'string' && value.includes('\0'))) return undefined
  const row = await findProviderRow(db, key)
  const application = row === undefined ? undefined : applicationOf(row)
  if (row === undefined || application === undefined) return undefined
  return {
    id: row.id,
    name: row.name,
    isProxy: row.is_proxy,
    clientType: row.is_proxy ? 'confidential' : row.client_type,
    clientId: row.client_id,
    clientSecret: core.secrets.open('client_secret', row.client_secret_sealed),
    grantTypes: new Set(row.is_proxy ? [...row.grant_types, ...proxyGrants] : row.grant_types),
    redirectUris: row.redirect_uris,
    codeLifeMs: durationMs(row.access_code_validity),
    accessTokenLifeMs: durationMs(row.access_token_validity),
    refreshTokenLifeMs: durationMs(row.refresh_token_validity),
    refreshThresholdMs: durationMs(row.refresh_token_threshold),
    claimsInIdToken: row.is_proxy || row.include_claims_in_id_token,
    subMode: row.is_proxy ? 'hashed_user_id' : row.sub_mode,
    issuerMode: row.issuer_mode,
    requirePkce: row.require_pkce || (!row.is_proxy && row.client_type === 'public'),
    signingKey: row.is_proxy || !row.has_signing_key ? null : signingKeyOf(row),
    encrypted: row.has_encryption_key && !row.is_proxy,
    externalHost: row.external_host,
    authenticationFlow:
      row.authentication_flow_id === null || row.authentication_flow_slug === null
        ? null
        : { id: row.authentication_flow_id, slug: row.authentication_flow_slug },
    authorizationFlowId: row.authorization_flow_id,
    invalidationFlowId: row.invalidation_flow_id,
    application,
    mappings: row.mappings,
  }
}

/** What an outpost does for its users: sign them in, and turn an app password of an `Authorization` header into a token. */
const proxyGrants = ['authorization_code', 'client_credentials']

function applicationOf(row: ProviderRow): ProviderApplication | undefined {
  if (row.application_id === null || row.application_slug === null) return undefined
  return {
    id: row.application_id,
    slug: row.application_slug,
    name: row.application_name ?? row.application_slug,
    metaLaunchUrl: row.application_launch_url ?? '',
    policyEngineMode: row.policy_engine_mode ?? 'all',
  }
}

function signingKeyOf(row: ProviderRow): SigningKeyPair {
  return {
    certificatePem: row.certificate_pem ?? '',
    privateKeySealed: row.private_key_sealed,
    fingerprint: row.fingerprint_sha256 ?? '',
  }
}
