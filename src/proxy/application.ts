// One proxy provider, compiled: everything a request needs is worked out once per configuration and never changed afterwards.
import { createHash, hkdfSync } from 'node:crypto'
import { outpostPrefix, type ProxyMode, type ProxyProviderConfig } from '../wire/outpost.ts'
import { type AllowList, compileAllowList } from './allow-list.ts'
import { type Endpoints, type PublicCore, publicEndpoints } from './endpoints.ts'
import { headerValue } from './identity-headers.ts'
import type { SessionProvider } from './sessions/sessions.ts'
import { createTokenVerifier, type JwksSource, type TokenVerifier } from './verify-token.ts'

export interface Application {
  readonly config: ProxyProviderConfig
  readonly name: string
  readonly mode: ProxyMode
  /** `https://app.example:8443`, default port left out */
  readonly origin: string
  /** host of the origin, with its port unless it is the default one */
  readonly host: string
  readonly hostname: string
  /** upstream as `http://host:port`; null in the forward modes */
  readonly upstream: string | null
  readonly session: SessionProvider
  readonly cookieName: string
  /** without leading dot, lower case; empty for a cookie of the one host */
  readonly cookieDomain: string
  readonly secure: boolean
  /** A session that ends within this time (ms) is renewed when the browser navigates. */
  readonly renewBeforeMs: number
  readonly redirectUri: string
  readonly callbackPath: string
  readonly allowList: AllowList
  readonly endpoints: Endpoints
  readonly stateKey: Uint8Array
  readonly transactionKey: Uint8Array
  /** flat list of the identity headers that are the same for all users */
  readonly metaHeaders: readonly string[]
  readonly verifier: TokenVerifier
}

export interface CompileOptions {
  outpostName: string
  version: string
  core: PublicCore
  jwks: (config: ProxyProviderConfig) => JwksSource
  /** one call per line of the allow-list that cannot work */
  warn: (line: string, why: string) => void
}

/**
 * Compiles one provider.
 * @throws Error with one sentence naming the field that cannot be used
 */
export function compileApplication(config: ProxyProviderConfig, options: CompileOptions): Application {
  const { mode } = config
  if (mode !== 'proxy' && mode !== 'forward_single' && mode !== 'forward_domain')
    throw new Error(`mode "${String(mode)}" is not known to this outpost`)
  if (!config.client_id || !config.client_secret || !config.cookie_secret)
    throw new Error('client_id, client_secret and cookie_secret must not be empty')
  const external = webUrl(config.external_host, 'external_host')
  const callback = new URL(`${outpostPrefix.slice(1)}/callback`, external)
  callback.searchParams.set('X-authentik-auth-callback', 'true')
  const endpoints = publicEndpoints(config.oidc_configuration, options.core)
  const domain = config.cookie_domain.trim().toLowerCase().replace(/^\./, '')
  if (domain !== '' && !/^[a-z0-9-]+(\.[a-z0-9-]+)*$/.test(domain))
    throw new Error(`cookie_domain "${domain}" is not a domain name`)
  return {
    config,
    name: config.name,
    mode,
    origin: external.origin,
    host: external.host,
    hostname: external.hostname,
    upstream: mode === 'proxy' ? webUrl(config.internal_host, 'internal_host').origin : null,
    session: { clientId: config.client_id, cookieSecret: config.cookie_secret },
    cookieName: cookieName(config.client_id),
    cookieDomain: domain,
    secure: external.protocol === 'https:',
    renewBeforeMs: renewBefore(config.access_token_validity),
    redirectUri: callback.href,
    callbackPath: callback.pathname,
    allowList: compileAllowList(config.skip_path_regex, options.warn),
    endpoints,
    stateKey: new TextEncoder().encode(config.cookie_secret),
    transactionKey: new Uint8Array(
      hkdfSync('sha256', config.cookie_secret, config.client_id, 'postern login transaction', 32),
    ),
    metaHeaders: metaHeaders(config, endpoints, options),
    verifier: createTokenVerifier({
      clientId: config.client_id,
      clientSecret: config.client_secret,
      issuer: endpoints.issuer,
      algorithms: config.oidc_configuration.id_token_signing_alg_values_supported,
      jwks: options.jwks(config),
    }),
  }
}

/** `authentik_proxy_` and the first eight hex digits of SHA-256 of the client id. */
export function cookieName(clientId: string): string {
  return `authentik_proxy_${createHash('sha256').update(clientId).digest('hex').slice(0, 8)}`
}

/** The last tenth of a session, at most ten minutes: late enough to cost little, early enough for people who fill in a form. */
function renewBefore(validitySeconds: number | null): number {
  return Math.min((validitySeconds ?? 0) * 100, 600_000)
}

function webUrl(text: string, field: string): URL {
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:') || url.hostname === '')
    throw new Error(`${field} "${text}" is not an http or https URL`)
  if (url.username !== '' || url.password !== '')
    throw new Error(`${field} must not hold a user name or password`)
  return url
}

function metaHeaders(config: ProxyProviderConfig, endpoints: Endpoints, options: CompileOptions): string[] {
  return [
    ...['X-authentik-meta-jwks', headerValue(endpoints.jwks)],
    ...['X-authentik-meta-outpost', headerValue(options.outpostName)],
    ...['X-authentik-meta-provider', headerValue(config.name)],
    ...['X-authentik-meta-app', headerValue(config.assigned_application_slug)],
    ...['X-authentik-meta-version', headerValue(`goauthentik.io/outpost/${options.version}`)],
  ]
}
