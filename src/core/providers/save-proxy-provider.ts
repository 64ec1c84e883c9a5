// A proxy provider from settings that were checked: what is forced, what is made once, what follows from its address, and who is told.
import { timingSafeEqual } from 'node:crypto'
import type { Tx } from '../../pg/db.ts'
import { updateColumns } from '../api/resource.sql.ts'
import type { Core } from '../core.ts'
import { outpostsChanged } from '../outposts/changed.ts'
import { randomText, sha256 } from '../secrets.ts'
import { endProviderAccess } from '../sessions/revoke.ts'
import {
  insertPart,
  insertProvider,
  managedMappings,
  setFederated,
  setMappings,
  updatePart,
} from './providers.sql.ts'
import type { ProxyRow } from './proxy-providers.sql.ts'
import {
  checkProxySettings,
  defaultProxySettings,
  type ProxySettings,
  proxyRedirectUris,
} from './proxy-settings.ts'

export type ProxyCore = Pick<Core, 'bus' | 'secrets' | 'baseUrl'>

/** Fields as the API calls them; `cookie_secret` can be written and never read. */
export interface ProxyInput extends Partial<ProxySettings> {
  name: string
  /** ids of flows */
  authorization_flow: string
  invalidation_flow: string
  authentication_flow?: string | null
  external_host: string
  property_mappings?: string[]
  jwt_federation_providers?: number[]
  cookie_secret?: string
}

/** An outpost asks for these whatever its provider is given. */
const scopes = [
  'goauthentik.io/providers/oauth2/scope-openid',
  'goauthentik.io/providers/oauth2/scope-profile',
  'goauthentik.io/providers/oauth2/scope-email',
  'goauthentik.io/providers/proxy/scope-proxy',
]

const upperAndDigits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'

/** @throws ApiError 400 for settings that cannot work */
export async function insertProxyProvider(
  tx: Tx,
  core: ProxyCore,
  input: ProxyInput,
): Promise<{ pk: number; clientId: string }> {
  const settings = merge({ ...defaultProxySettings, external_host: input.external_host }, input)
  checkProxySettings(settings, core.baseUrl)
  const clientId = randomText(40)
  const pk = await insertProvider(
    tx,
    { type: 'proxy', ...baseColumns(input) },
    {
      ...clientColumns(settings),
      client_id: clientId,
      client_secret_sealed: core.secrets.seal('client_secret', randomText(128)),
    },
  )
  const cookieSecret = input.cookie_secret ?? randomText(32, upperAndDigits)
  await insertPart(tx, 'proxy_providers', pk, {
    ...proxyColumns(settings),
    cookie_secret_sealed: core.secrets.seal('cookie_secret', cookieSecret),
  })
  await setMappings(tx, pk, [...(input.property_mappings ?? []), ...(await managedMappings(tx, scopes))])
  await setFederated(tx, pk, input.jwt_federation_providers ?? [])
  return { pk, clientId }
}

/**
 * Writes what differs. A new cookie secret ends every session of the provider, since none can be opened any more.
 * @returns the revocation, if it did
 * @throws ApiError 400 for a result that cannot work
 */
export async function saveProxyProvider(
  tx: Tx,
  core: ProxyCore,
  row: ProxyRow,
  input: Partial<ProxyInput>,
): Promise<{ revocationId?: number }> {
  const settings = merge(row, input)
  checkProxySettings(settings, core.baseUrl)
  await updateColumns(tx, 'providers', row.id, baseColumns(input))
  await updatePart(tx, 'oauth2_providers', row.id, clientColumns(settings))
  await updatePart(tx, 'proxy_providers', row.id, proxyColumns(settings))
  const wanted = input.property_mappings ?? row.property_mappings
  const moved = await setMappings(tx, row.id, [...wanted, ...(await managedMappings(tx, scopes))])
  if (input.jwt_federation_providers !== undefined)
    await setFederated(tx, row.id, input.jwt_federation_providers)
  const secret = input.cookie_secret
  const rotated = secret !== undefined && !isCookieSecret(core, row, secret)
  if (rotated)
    await updatePart(tx, 'proxy_providers', row.id, {
      cookie_secret_sealed: core.secrets.seal('cookie_secret', secret),
    })
  const differs =
    JSON.stringify(settings) !== JSON.stringify(merge(row, {})) || (input.name ?? row.name) !== row.name
  if (differs || rotated || moved > 0) await outpostsChanged(tx, core, { providers: [row.id] })
  if (!rotated) return {}
  return { revocationId: (await endProviderAccess(tx, core.bus, row.client_id)).id }
}

function isCookieSecret(core: ProxyCore, row: ProxyRow, secret: string): boolean {
  return timingSafeEqual(sha256(core.secrets.open('cookie_secret', row.cookie_secret_sealed)), sha256(secret))
}

/** The settings as they will be; fields that were not sent stay. */
function merge(before: ProxySettings, input: Partial<ProxySettings>): ProxySettings {
  return {
    mode: input.mode ?? before.mode,
    external_host: input.external_host ?? before.external_host,
    internal_host: input.internal_host ?? before.internal_host,
    internal_host_ssl_validation: input.internal_host_ssl_validation ?? before.internal_host_ssl_validation,
    certificate: input.certificate === undefined ? before.certificate : input.certificate,
    skip_path_regex: input.skip_path_regex ?? before.skip_path_regex,
    basic_auth_enabled: input.basic_auth_enabled ?? before.basic_auth_enabled,
    basic_auth_user_attribute: input.basic_auth_user_attribute ?? before.basic_auth_user_attribute,
    basic_auth_password_attribute:
      input.basic_auth_password_attribute ?? before.basic_auth_password_attribute,
    intercept_header_auth: input.intercept_header_auth ?? before.intercept_header_auth,
    cookie_domain: input.cookie_domain ?? before.cookie_domain,
    access_token_validity: input.access_token_validity ?? before.access_token_validity,
    refresh_token_validity: input.refresh_token_validity ?? before.refresh_token_validity,
  }
}

function baseColumns(input: Partial<ProxyInput>): Record<string, unknown> {
  return {
    name: input.name,
    authentication_flow_id: input.authentication_flow,
    authorization_flow_id: input.authorization_flow,
    invalidation_flow_id: input.invalidation_flow,
  }
}

/** The client an outpost is, whatever somebody wrote into it by other means. */
function clientColumns(settings: ProxySettings): Record<string, unknown> {
  return {
    client_type: 'confidential',
    grant_types: ['authorization_code', 'client_credentials'],
    include_claims_in_id_token: true,
    sub_mode: 'hashed_user_id',
    issuer_mode: 'per_provider',
    signing_key_id: null,
    encryption_key_id: null,
    redirect_uris: JSON.stringify(proxyRedirectUris(settings.external_host)),
    access_token_validity: settings.access_token_validity,
    refresh_token_validity: settings.refresh_token_validity,
  }
}

function proxyColumns({
  certificate,
  access_token_validity: _access,
  refresh_token_validity: _refresh,
  ...columns
}: ProxySettings): Record<string, unknown> {
  return { ...columns, certificate_id: certificate }
}
