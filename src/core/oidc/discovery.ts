// What a client may know about an application's provider before it speaks to it (OpenID Connect Discovery §3, RFC 8414 §2).
import type { OidcConfiguration } from '../../wire/outpost.ts'
import { algorithmOf } from './keys.ts'
import type { Provider } from './provider.ts'
import { defaultAcr } from './tokens.ts'
import { oidcUrls } from './urls.ts'

/** The discovery document; every URL is on the public name. */
export function discoveryOf(baseUrl: URL, provider: Provider): Record<string, unknown> {
  const urls = oidcUrls(baseUrl, provider.application.slug, { issuerMode: provider.issuerMode })
  return {
    ...urls,
    response_types_supported: provider.grantTypes.has('authorization_code') ? ['code'] : [],
    response_modes_supported: ['query', 'fragment'],
    grant_types_supported: [...provider.grantTypes].filter(grant => served.has(grant)),
    id_token_signing_alg_values_supported: [algorithmOf(provider.signingKey) ?? 'RS256'],
    subject_types_supported: ['public'],
    token_endpoint_auth_methods_supported: authMethods(provider),
    introspection_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic'],
    revocation_endpoint_auth_methods_supported: authMethods(provider),
    acr_values_supported: [defaultAcr],
    scopes_supported: [...new Set(['openid', ...provider.mappings.map(mapping => mapping.scope_name)])],
    claims_supported: [
      ...protocolClaims,
      ...provider.mappings.flatMap(mapping => claimsOfScope[mapping.scope_name] ?? []),
    ],
    prompt_values_supported: ['none', 'login', 'consent', 'select_account'],
    claims_parameter_supported: false,
    request_parameter_supported: false,
    request_uri_parameter_supported: false,
    code_challenge_methods_supported: ['S256'],
    authorization_response_iss_parameter_supported: true,
  }
}

/**
 * What an outpost is told about the provider of an application it protects: browsers go to the public name, the outpost itself calls
 * the host it already uses, and tokens are signed with the client secret.
 * @param backChannel origin of the outpost's own request, e.g. `http://core:9000`; undefined = the public name
 */
export function outpostOidcConfiguration(
  baseUrl: URL,
  slug: string,
  backChannel?: string,
): OidcConfiguration {
  const { revocation_endpoint: _unused, ...urls } = oidcUrls(baseUrl, slug, { backChannel })
  return {
    ...urls,
    response_types_supported: ['code'],
    id_token_signing_alg_values_supported: ['HS256'],
    subject_types_supported: ['public'],
    token_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic'],
  }
}

const served = new Set(['authorization_code', 'refresh_token', 'client_credentials', 'password'])
const protocolClaims = ['sub', 'iss', 'aud', 'exp', 'iat', 'auth_time', 'acr', 'amr', 'nonce', 'sid']
const claimsOfScope: Record<string, string[]> = {
  email: ['email', 'email_verified'],
  profile: ['name', 'given_name', 'preferred_username', 'nickname', 'groups'],
  entitlements: ['entitlements', 'roles'],
  ak_proxy: ['ak_proxy'],
}

function authMethods(provider: Provider): string[] {
  return provider.clientType === 'public' ? ['none'] : ['client_secret_post', 'client_secret_basic']
}
