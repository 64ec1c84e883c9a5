// The Cookie and Set-Cookie headers (RFC 6265). Reading never throws and is bounded; writing refuses what could break a header.

export interface Cookie {
  name: string
  value: string
}

export interface CookieAttributes {
  /** default `/` */
  path?: string
  domain?: string
  /** seconds; 0 deletes the cookie, absent makes it a cookie of the browser session */
  maxAge?: number
  httpOnly?: boolean
  secure?: boolean
  sameSite?: 'Strict' | 'Lax' | 'None'
}

/** A browser sends at most some 180 cookies per site; more than this is an attack, and the rest is not read. */
const maxCookies = 400
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const cookieValue = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*$/
const attributeValue = /^[\x20-\x3a\x3c-\x7e]*$/

/** All cookies in the order sent, duplicates kept; at most 400. Values are as sent, less one pair of surrounding quotes. */
export function parseCookies(header: string | undefined): Cookie[] {
  const cookies: Cookie[] = []
  if (header === undefined) return cookies
  let start = 0
  while (start <= header.length && cookies.length < maxCookies) {
    const semicolon = header.indexOf(';', start)
    const end = semicolon === -1 ? header.length : semicolon
    const cookie = readCookie(header.slice(start, end))
    if (cookie !== undefined) cookies.push(cookie)
    start = end + 1
  }
  return cookies
}

/** Values of all cookies with this name, in the order sent. */
export function cookieValues(header: string | undefined, name: string): string[] {
  if (header === undefined || !header.includes(name)) return []
  return parseCookies(header)
    .filter(cookie => cookie.name === name)
    .map(cookie => cookie.value)
}

/**
 * The Cookie header without the cookies whose name the predicate accepts; the others stay as they were sent.
 * @returns undefined when nothing is left, so that no header is to be sent
 */
export function withoutCookies(
  header: string | undefined,
  isUnwanted: (name: string) => boolean,
): string | undefined {
  if (header === undefined) return undefined
  const kept = header
    .split(';')
    .map(part => part.trim())
    .filter(part => part !== '' && !isUnwanted(nameOf(part)))
  return kept.length === 0 ? undefined : kept.join('; ')
}

/**
 * One value for `Set-Cookie`.
 * @throws TypeError when name, value, path or domain hold a character that a header must not carry
 */
export function serializeCookie(name: string, value: string, attributes: CookieAttributes = {}): string {
  const { path = '/', domain, maxAge, httpOnly, secure, sameSite } = attributes
  if (!token.test(name)) throw new TypeError('a cookie name must be an HTTP token')
  if (!cookieValue.test(value))
    throw new TypeError(`the value of cookie "${name}" holds a forbidden character`)
  if (!path.startsWith('/') || !attributeValue.test(path)) throw new TypeError(`bad path of cookie "${name}"`)
  let text = `${name}=${value}; Path=${path}`
  if (domain !== undefined && domain !== '') {
    if (!/^\.?[a-z0-9-]+(\.[a-z0-9-]+)*$/i.test(domain)) throw new TypeError(`bad domain of cookie "${name}"`)
    text += `; Domain=${domain}`
  }
  if (maxAge !== undefined) {
    if (!Number.isFinite(maxAge)) throw new TypeError(`bad age of cookie "${name}"`)
    const seconds = Math.max(0, Math.floor(maxAge))
    text += `; Max-Age=${seconds}`
    if (seconds === 0) text += '; Expires=Thu, 01 Jan 1970 00:00:00 GMT'
  }
  if (httpOnly === true) text += '; HttpOnly'
  if (secure === true) text += '; Secure'
  if (sameSite !== undefined) text += `; SameSite=${sameSite}`
  return text
}

function readCookie(part: string): Cookie | undefined {
  const equals = part.indexOf('=')
  if (equals === -1) return undefined
  const name = part.slice(0, equals).trim()
  if (name === '') return undefined
  const value = part.slice(equals + 1).trim()
  const quoted = value.length >= 2 && value.startsWith('"') && value.endsWith('"')
  return { name, value: quoted ? value.slice(1, -1) : value }
}

/** A part without `=` is all name here, so that a predicate can refuse it. */
function nameOf(part: string): string {
  const equals = part.indexOf('=')
  return equals === -1 ? part : part.slice(0, equals).trim()
}
