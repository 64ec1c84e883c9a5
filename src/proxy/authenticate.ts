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
  const values = cookieValues(head.cookie, app.cookieName)
  const first = values[0]
  if (first === undefined) return byHeader(x)
  const found = parts.sessions.find(app.session, first)
  if (found instanceof Promise) return found.then(result => judge(x, result, values, 1))
  return judge(x, found, values, 1)
}

function judge(x: Exchange, found: Found, values: string[], tried: number): Verdict | Promise<Verdict> {
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
