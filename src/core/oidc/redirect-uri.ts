// Which redirect URIs a client may use. Text is compared as text; a pattern must match all of it and sees only canonical URLs.
import { RE2JS } from 're2js'
import type { RedirectUri } from './provider.sql.ts'

/** Schemes a browser would run or read instead of leaving for another place. */
const refusedSchemes = new Set([
  'javascript:',
  'data:',
  'vbscript:',
  'file:',
  'blob:',
  'about:',
  'view-source:',
])
/** A registered pattern must not let somebody plant what only our answer may say. */
const answerParameters = ['code', 'state', 'iss', 'error', 'error_description', 'id_token', 'access_token']

/**
 * True when one of the registered entries of `type` allows `uri`: equality for strict entries (RFC 9700 §2.1), with any port on a
 * loopback address for public clients (RFC 8252 §7.3); RE2 full match for patterns.
 */
export function isRegisteredUri(
  uri: string,
  registered: readonly RedirectUri[],
  options: { type: RedirectUri['redirect_uri_type']; publicClient: boolean },
): boolean {
  const url = parseRedirectUri(uri)
  if (url === undefined) return false
  return registered.some(entry => {
    if (entry.redirect_uri_type !== options.type) return false
    if (entry.matching_mode === 'regex') return matchesPattern(uri, url, entry.url)
    return entry.url === uri || (options.publicClient && differsByLoopbackPort(url, uri, entry.url))
  })
}

/** The parsed URI, or undefined for one that is never allowed: relative, with fragment or user info, of a scheme that runs code. */
export function parseRedirectUri(uri: string): URL | undefined {
  if (/[\x00-\x20\x7f\\#]/.test(uri)) return undefined
  const url = URL.parse(uri)
  if (url === null || refusedSchemes.has(url.protocol)) return undefined
  if (url.username !== '' || url.password !== '' || /^[a-z][a-z0-9+.-]*:\/\/[^/?]*@/i.test(uri))
    return undefined
  if (isWeb(url) && url.hostname === '') return undefined
  return url
}

/** True when RE2 accepts the pattern. */
export function isPattern(pattern: string): boolean {
  return compiled(pattern) !== undefined
}

/** Origins from which scripts may call the endpoints of this client: those of its strict web redirect URIs. */
export function originsOf(registered: readonly RedirectUri[]): Set<string> {
  const origins = new Set<string>()
  for (const entry of registered) {
    const url = entry.matching_mode === 'strict' ? URL.parse(entry.url) : null
    if (url !== null && isWeb(url)) origins.add(url.origin)
  }
  return origins
}

function matchesPattern(uri: string, url: URL, pattern: string): boolean {
  const canonical = url.href === uri || url.href === `${uri}/`
  const schemeAllowed =
    isWeb(url) || pattern.startsWith(url.protocol) || pattern.startsWith(`^${url.protocol}`)
  if (!canonical || !schemeAllowed) return false
  if (answerParameters.some(name => url.searchParams.has(name))) return false
  return compiled(pattern)?.matches(uri) ?? false
}

function differsByLoopbackPort(url: URL, uri: string, registered: string): boolean {
  const own = URL.parse(registered)
  if (own === null || own.protocol !== 'http:' || own.port !== '') return false
  if (own.hostname !== '127.0.0.1' && own.hostname !== '[::1]') return false
  const base = `http://${own.hostname}`
  if (!registered.startsWith(base) || url.protocol !== 'http:' || url.hostname !== own.hostname) return false
  const port = url.port === '' ? '' : `:${url.port}`
  return uri === `${base}${port}${registered.slice(base.length)}`
}

function isWeb(url: URL): boolean {
  return url.protocol === 'https:' || url.protocol === 'http:'
}

const patterns = new Map<string, RE2JS | undefined>()

function compiled(pattern: string): RE2JS | undefined {
  if (patterns.has(pattern)) return patterns.get(pattern)
  let re: RE2JS | undefined
  try {
    re = RE2JS.compile(pattern)
  } catch {
    re = undefined
  }
  if (patterns.size >= 500) patterns.clear()
  patterns.set(pattern, re)
  return re
}
