// Who is the user: the session behind the cookie, else the credentials in the `Authorization` header, else nobody.
import { cookieValues } from '../http/cookies.ts'
import { clearSessionCookie, type Exchange } from './exchange.ts'
import type { Identity } from './identity-headers.ts'
import type { Found } from './sessions/sessions.ts'

/** `unavailable`: a genuine cookie whose session cannot be looked up now. */
export type Verdict = Identity | 'anonymous' | 'unavailable'

/** More cookies of one name than this are not tried: each could cost a statement. */
const maxTries = 3

/**
 * Warm: no promise and no statement. Sets `identity` and `authorizationUsed`; a cookie of wrong form is deleted, one whose session
 * is gone is left alone, the next login overwrites it. Never throws, never rejects.
 */
export function authenticate(x: Exchange): Verdict | Promise<Verdict> {
  const { app, head, parts } = x
  if (head.cookie === undefined) return byHeader(x)
  const values = sessionCookies(head.cookie, app.cookieName)
  const first = values[0]
  if (first === undefined) return byHeader(x)
  const found = parts.sessions.find(app.session, first)
  if (found instanceof Promise) return found.then(result => judge(x, result, values, 1))
  return judge(x, found, values, 1)
}

/** Values of the session cookie; the common case, one plain cookie among others, without reading the others. */
function sessionCookies(header: string, name: string): readonly string[] {
  const at = header.indexOf(name)
  if (at === -1) return none
  const from = at + name.length + 1
  const isPlain =
    header[from - 1] === '=' &&
    (at === 0 || header.startsWith('; ', at - 2)) &&
    header.indexOf(name, from) === -1
  if (!isPlain) return cookieValues(header, name)
  const end = header.indexOf(';', from)
  const value = end === -1 ? header.slice(from) : header.slice(from, end)
  return plainValue.test(value) ? [value] : cookieValues(header, name)
}

const none: readonly string[] = []
const plainValue = /^[\w-]+$/

function judge(
  x: Exchange,
  found: Found,
  values: readonly string[],
  tried: number,
): Verdict | Promise<Verdict> {
  if (found.kind === 'session') {
    x.identity = found.session
    if (x.head.authorization !== undefined)
      x.authorizationUsed = x.parts.headerLogins.isCredential(x, found.session)
    return found.session
  }
  if (found.kind === 'unavailable') return 'unavailable'
  const next = values[tried]
  if (next !== undefined && tried < maxTries) {
    const another = x.parts.sessions.find(x.app.session, next)
    return another instanceof Promise
      ? another.then(result => judge(x, result, values, tried + 1))
      : judge(x, another, values, tried + 1)
  }
  if (found.kind === 'forged') clearSessionCookie(x)
  return byHeader(x)
}

function byHeader(x: Exchange): Verdict | Promise<Verdict> {
  if (x.head.authorization === undefined || x.head.ambiguous) return 'anonymous'
  return x.parts.headerLogins.authenticate(x)
}
