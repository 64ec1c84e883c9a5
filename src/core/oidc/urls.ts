// Where the endpoints are. What a browser visits is always on the public name; what a program calls may be on another host.

export interface OidcUrls {
  issuer: string
  authorization_endpoint: string
  token_endpoint: string
  userinfo_endpoint: string
  end_session_endpoint: string
  introspection_endpoint: string
  revocation_endpoint: string
  jwks_uri: string
}

/**
 * Absolute URLs of an application's endpoints.
 * @param baseUrl the one public name, without a path
 * @param slug of the application
 * @param options.backChannel origin for token, userinfo, introspection, revocation and keys, e.g. `http://core:9000`: an outpost gets
 *   the origin it used itself; default the public name
 * @param options.issuerMode default `per_provider`
 */
export function oidcUrls(
  baseUrl: URL,
  slug: string,
  options: { backChannel?: string; issuerMode?: 'per_provider' | 'global' } = {},
): OidcUrls {
  const front = baseUrl.origin
  const back = options.backChannel ?? front
  return {
    issuer: issuerOf(baseUrl, slug, options.issuerMode ?? 'per_provider'),
    authorization_endpoint: `${front}/application/o/authorize/`,
    token_endpoint: `${back}/application/o/token/`,
    userinfo_endpoint: `${back}/application/o/userinfo/`,
    end_session_endpoint: `${front}/application/o/${slug}/end-session/`,
    introspection_endpoint: `${back}/application/o/introspect/`,
    revocation_endpoint: `${back}/application/o/revoke/`,
    jwks_uri: `${back}/application/o/${slug}/jwks/`,
  }
}

/** The `iss` of everything issued for an application. */
export function issuerOf(baseUrl: URL, slug: string, mode: 'per_provider' | 'global'): string {
  return mode === 'global' ? `${baseUrl.origin}/` : `${baseUrl.origin}/application/o/${slug}/`
}

/** Segments after `/application/o/` that an application's slug must not be. */
export const reservedSlugs: readonly string[] = [
  'authorize',
  'token',
  'userinfo',
  'introspect',
  'revoke',
  'device',
]
