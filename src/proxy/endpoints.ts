// Where browsers and tokens point to: Core tells an outpost the addresses under the name the outpost itself used, which need not be
// the name that browsers use.
import type { OidcConfiguration, OutpostConfigRead } from '../wire/outpost.ts'

export interface Endpoints {
  issuer: string
  authorize: string
  endSession: string
  jwks: string
}

/** Which public name of Core replaces the one in the configuration, and for whom. */
export interface PublicCore {
  embedded: boolean
  /** standalone: the address browsers use, when it differs; embedded: the public address of Core. Empty: nothing is rewritten. */
  url: string
}

/**
 * @param config of the outpost, as Core gave it
 * @param outpost.browserUrl standalone: the setting, which goes before Core's; embedded: Core's public address, for when the outpost has none
 */
export function publicCoreOf(
  config: OutpostConfigRead,
  { embedded, browserUrl = '' }: { embedded: boolean; browserUrl?: string },
): PublicCore {
  const url = embedded ? config.authentik_host || browserUrl : browserUrl || config.authentik_host_browser
  return { embedded, url: url ?? '' }
}

/**
 * Endpoints as browsers and verifiers need them: scheme and host of `core.url` in place of those Core wrote, path and query kept.
 * Keys are fetched under the public name only by an embedded outpost. A public address that is no URL changes nothing.
 */
export function publicEndpoints(given: OidcConfiguration, core: PublicCore): Endpoints {
  const origin = originOf(core.url)
  const rewrite = (url: string) => (origin === null ? url : withOrigin(url, origin))
  return {
    issuer: rewrite(given.issuer),
    authorize: rewrite(given.authorization_endpoint),
    endSession: rewrite(given.end_session_endpoint),
    jwks: core.embedded ? rewrite(given.jwks_uri) : given.jwks_uri,
  }
}

function originOf(url: string): URL | null {
  const parsed = URL.parse(url)
  return parsed !== null && (parsed.protocol === 'https:' || parsed.protocol === 'http:') ? parsed : null
}

/** Replaces scheme and authority in the text itself, so that a trailing slash of an issuer stays exactly as it was. */
function withOrigin(url: string, origin: URL): string {
  const parsed = URL.parse(url)
  if (parsed === null) return url
  const rest = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*(.*)$/i.exec(url)
  return rest === null ? url : `${origin.protocol}//${origin.host}${rest[1]}`
}
