// Renewing a session shortly before it ends, while the one at Core still lives: the browser makes the round trip of a login on its way
// to a page, and Core asks nothing. Only for navigations, which lose nothing by a redirect; once per session.
import { cookieValues } from '../http/cookies.ts'
import { addCookie, browserOrigin, type Exchange } from './exchange.ts'
import type { Identity } from './identity-headers.ts'
import { startLogin } from './login.ts'
import { checkedTarget } from './redirect.ts'

/** Whether this request is the moment: the cheap question comes first, since it is asked for every request. */
export function isRenewalDue(x: Exchange, identity: Identity): boolean {
  return identity.expiresAt - x.parts.now() < x.app.renewBeforeMs && mayRenew(x, identity)
}

/** Sends the browser to Core and back to where it wanted to go. */
export function renew(x: Exchange, identity: Identity): Promise<void> {
  const remaining = Math.max(1, Math.ceil((identity.expiresAt - x.parts.now()) / 1000))
  addCookie(x, markOf(x), '1', remaining)
  return startLogin(x, browserOrigin(x) + x.path + x.query, { silent: true })
}

/** Call when a renewal has ended well: the new session may be renewed in its turn. */
export function endRenewal(x: Exchange): void {
  addCookie(x, markOf(x), '', 0)
}

/** Only what says itself that it is a page being opened by GET, with a session of a browser, and not tried before. */
function mayRenew(x: Exchange, identity: Identity): boolean {
  const { headers, method } = x.req
  const asked = headers['x-forwarded-method'] ?? method
  return (
    'keyHash' in identity &&
    method === 'GET' &&
    asked === 'GET' &&
    headers['sec-fetch-mode'] === 'navigate' &&
    headers['sec-fetch-dest'] === 'document' &&
    x.head.authorization === undefined &&
    cookieValues(x.head.cookie, markOf(x)).length === 0 &&
    checkedTarget(x.app, browserOrigin(x) + x.path + x.query, browserOrigin(x)) !== null
  )
}

function markOf(x: Exchange): string {
  return `${x.app.cookieName}_renewal`
}
