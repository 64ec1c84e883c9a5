// The headers that tell an application who is there: twelve that are always set, the credentials for the upstream, and what the user's
// attributes add. One flat list per session, made at its first request and kept with it.
import type { Claims, ProxyProviderConfig } from '../wire/outpost.ts'
import type { Application } from './application.ts'

/** A signed-in user as the walk sees it: a session, or a header login that could not be stored. */
export interface Identity {
  readonly claims: Claims
  /** ms since epoch */
  readonly expiresAt: number
  derived: unknown
}

export interface Derived {
  readonly app: Application
  /** flat name, value list */
  readonly headers: readonly string[]
  /** names as `sameHeader` writes them; client headers that read the same are dropped */
  readonly names: ReadonlySet<string>
  /** what the access log calls the user */
  readonly user: string
  /** access-line fragment of the last program this user came with */
  line: { userAgent: string; fragment: string } | null
}

/** The headers every identity has. */
export const identityHeaderNames: readonly string[] = [
  'X-authentik-username',
  'X-authentik-groups',
  'X-authentik-entitlements',
  'X-authentik-email',
  'X-authentik-name',
  'X-authentik-uid',
  'X-authentik-jwt',
  'X-authentik-meta-jwks',
  'X-authentik-meta-outpost',
  'X-authentik-meta-provider',
  'X-authentik-meta-app',
  'X-authentik-meta-version',
]

/** Headers an attribute must not set: they would change where the message ends or where it goes, not who the user is. */
const framing = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

/** What follows from a user's claims for one application, worked out once and kept on the identity. */
export function derive(app: Application, identity: Identity): Derived {
  const known = identity.derived as Derived | undefined
  if (known !== undefined && known.app === app) return known
  const derived = build(app, identity.claims)
  identity.derived = derived
  return derived
}

function build(app: Application, claims: Claims): Derived {
  const headers = [
    ...['X-authentik-username', headerValue(claims.preferred_username)],
    ...['X-authentik-groups', headerValue(claims.groups.join('|'))],
    ...['X-authentik-entitlements', headerValue(claims.entitlements.join('|'))],
    ...['X-authentik-email', headerValue(claims.email)],
    ...['X-authentik-name', headerValue(claims.name)],
    ...['X-authentik-uid', headerValue(claims.sub)],
    ...['X-authentik-jwt', headerValue(claims.raw_token)],
    ...app.metaHeaders,
  ]
  if (claims.ak_proxy !== null) {
    const attributes = claims.ak_proxy.user_attributes ?? {}
    const credentials = upstreamCredentials(app.config, claims, attributes)
    if (credentials !== null) set(headers, 'Authorization', credentials)
    for (const [name, value] of additionalHeaders(attributes.additionalHeaders)) set(headers, name, value)
  }
  const names = new Set<string>()
  for (let at = 0; at < headers.length; at += 2) names.add(sameHeader(headers[at] as string))
  return { app, headers, names, user: claims.preferred_username || claims.sub, line: null }
}

/** Basic credentials from the user's attributes; none without a password. */
function upstreamCredentials(
  config: ProxyProviderConfig,
  claims: Claims,
  attributes: Record<string, unknown>,
): string | null {
  if (!config.basic_auth_enabled) return null
  const user = attributes[config.basic_auth_user_attribute]
  const password = attributes[config.basic_auth_password_attribute]
  if (typeof password !== 'string' || password === '') return null
  const name = typeof user === 'string' && user !== '' ? user : claims.email
  return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`
}

/** Entries that can stand as a header; numbers and booleans become text, everything else and every control character is refused. */
function* additionalHeaders(value: unknown): Generator<[string, string]> {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return
  for (const [name, entry] of Object.entries(value)) {
    if (typeof entry !== 'string' && typeof entry !== 'number' && typeof entry !== 'boolean') continue
    const text = String(entry)
    if (!token.test(name) || framing.has(sameHeader(name)) || /[\x00-\x08\x0a-\x1f\x7f]/.test(text)) continue
    yield [name, headerValue(text)]
  }
}

function set(headers: string[], name: string, value: string): void {
  const same = sameHeader(name)
  for (let at = headers.length - 2; at >= 0; at -= 2)
    if (sameHeader(headers[at] as string) === same) headers.splice(at, 2)
  headers.push(name, value)
}

/** Two headers that an application may take for the same one have the same text here: case and `_` do not count. */
export function sameHeader(name: string): string {
  return name.toLowerCase().replaceAll('_', '-')
}

/** Text as bytes of a header: UTF-8, control characters as spaces. Node writes header text as Latin-1, one byte per character. */
export function headerValue(text: string): string {
  const clean = text.replace(/[\x00-\x08\x0a-\x1f\x7f]/g, ' ').trim()
  return /^[\x09\x20-\x7e]*$/.test(clean) ? clean : Buffer.from(clean, 'utf8').toString('latin1')
}
