// What of the client's headers an upstream gets: everything but identity headers, cookies of the outpost, hop-by-hop headers and what
// only a front proxy may say. One pass over the raw list; names are judged once per spelling.
import { withoutCookies } from '../http/cookies.ts'
import type { Exchange } from './exchange.ts'
import { type Derived, headerValue, sameHeader } from './identity-headers.ts'

type Rule = 'pass' | 'drop' | 'trusted' | 'cookie' | 'authorization' | 'connection'

interface Spelling {
  rule: Rule
  /** as `sameHeader` writes it */
  same: string
}

/** RFC 9110 §7.6.1, and what undici and we write ourselves. */
const rules: Record<string, Rule> = {
  connection: 'connection',
  'keep-alive': 'drop',
  'proxy-connection': 'drop',
  'proxy-authenticate': 'drop',
  'proxy-authorization': 'drop',
  te: 'drop',
  trailer: 'drop',
  'transfer-encoding': 'drop',
  upgrade: 'drop',
  'http2-settings': 'drop',
  expect: 'drop',
  host: 'drop',
  'x-original-url': 'drop',
  'x-original-uri': 'drop',
  'x-rewrite-url': 'drop',
  'x-forwarded-for': 'drop',
  'x-forwarded-host': 'drop',
  'x-forwarded-proto': 'drop',
  forwarded: 'trusted',
  'x-real-ip': 'trusted',
  cookie: 'cookie',
  authorization: 'authorization',
}

const spellings = new Map<string, Spelling>()
const maxSpellings = 2048

/**
 * Flat header list for the upstream, with `Host`, the forwarding headers rebuilt from the real connection, and ours last.
 * @param derived identity of the user; null on allow-listed paths
 * @param host value of `Host`
 */
export function upstreamHeaders(x: Exchange, derived: Derived | null, host: string): string[] {
  const raw = x.req.rawHeaders
  const peer = x.req.socket.remoteAddress ?? ''
  const believed = x.parts.trusted.isTrusted(peer)
  const out = ['Host', host]
  let listed: Set<string> | null = null
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] as string
    const spelling = spellings.get(name) ?? learn(name)
    if (spelling.rule === 'drop' || derived?.names.has(spelling.same) === true) continue
    const value = raw[at + 1] as string
    if (spelling.rule === 'pass') out.push(name, value)
    else if (spelling.rule === 'connection') listed = addListed(listed, value)
    else if (spelling.rule === 'cookie') addCookies(out, name, value)
    else if (spelling.rule === 'trusted') believed && out.push(name, value)
    else if (!x.authorizationUsed) out.push(name, value)
  }
  if (listed !== null) removeListed(out, listed)
  if (derived !== null) for (const text of derived.headers) out.push(text)
  const before = believed ? x.head.forwardedFor : undefined
  out.push('X-Forwarded-For', before === undefined ? peer : `${before}, ${peer}`)
  out.push('X-Forwarded-Host', x.host, 'X-Forwarded-Proto', x.scheme)
  return out
}

/** Cookies that belong to the outpost or to Core and that no application may see. */
export function isOurCookie(name: string): boolean {
  return (
    name.startsWith('authentik_proxy_') ||
    name === 'authentik_session' ||
    name === 'authentik_csrf' ||
    name === 'authentik_device'
  )
}

function learn(name: string): Spelling {
  if (spellings.size >= maxSpellings) spellings.clear()
  const same = sameHeader(name)
  const spelling = { rule: ruleOf(name, same), same }
  spellings.set(name, spelling)
  return spelling
}

/** An underscore form is taken for the dash form by many applications, so it gets the rule of that, and never better. */
function ruleOf(name: string, same: string): Rule {
  if (same.startsWith('x-authentik-')) return name.toLowerCase() === 'x-authentik-csrf' ? 'pass' : 'drop'
  const rule = Object.hasOwn(rules, same) ? rules[same] : undefined
  if (rule !== undefined) return name.includes('_') ? 'drop' : rule
  if (same.startsWith('x-forwarded-')) return name.includes('_') ? 'drop' : 'trusted'
  return 'pass'
}

function addCookies(out: string[], name: string, value: string): void {
  if (!value.includes('authentik_')) out.push(name, value)
  else {
    const kept = withoutCookies(value, isOurCookie)
    if (kept !== undefined) out.push(name, kept)
  }
}

/** Names a `Connection` header declares to be for this hop only. */
function addListed(listed: Set<string> | null, value: string): Set<string> | null {
  for (const part of value.toLowerCase().split(',')) {
    const name = part.trim()
    if (name === '' || name === 'keep-alive' || name === 'close' || name === 'upgrade') continue
    listed ??= new Set()
    listed.add(name)
  }
  return listed
}

/** Called before our own headers are added: a client cannot declare those away. */
function removeListed(out: string[], listed: Set<string>): void {
  for (let at = out.length - 2; at >= 2; at -= 2)
    if (listed.has((out[at] as string).toLowerCase())) out.splice(at, 2)
}

/** The `Host` an upstream gets: the user's override when it can stand in a header, else what the browser used. */
export function upstreamHost(x: Exchange): string {
  const override = x.identity?.claims.ak_proxy?.host_header ?? ''
  if (override === '') return x.host
  if (/^[a-z0-9._[\]:-]+$/i.test(override)) return headerValue(override)
  x.parts.log.warning('host_header of a user is not a host name, it is ignored', { name: x.app.name })
  return x.host
}

/** Origin of the upstream: the user's override when it is a URL, else the application's. */
export function upstreamOrigin(x: Exchange): string {
  const override = x.identity?.claims.ak_proxy?.backend_override ?? ''
  if (override !== '') {
    const url = URL.parse(override)
    if (url !== null && (url.protocol === 'http:' || url.protocol === 'https:')) return url.origin
    x.parts.log.warning('backend_override of a user is not a URL, it is ignored', { name: x.app.name })
  }
  return x.app.upstream ?? ''
}
