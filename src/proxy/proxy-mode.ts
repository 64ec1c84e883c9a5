// Mode `proxy`: the whole host is the application's. Signed in: forwarded with identity headers. Not signed in: allow-listed paths
// go through as they are, everyone else is sent to a login or refused.
import { decodedPath } from './allow-list.ts'
import { authenticate, type Verdict } from './authenticate.ts'
import { answerUnavailable, browserOrigin, type Exchange, redirect } from './exchange.ts'
import { answerNotSignedIn, answerRefusedCredentials, loginUrl } from './login.ts'
import { isReplayable, keepAndLogin } from './post-replay.ts'
import { checkedTarget } from './redirect.ts'
import { isRenewalDue, renew } from './renewal.ts'
import { saysNotNavigating } from './request-head.ts'

/** @param pass what happens to a request that may pass: forward it, or open a tunnel */
export function handleProxied(x: Exchange, pass: (x: Exchange) => void): void | Promise<void> {
  const verdict = authenticate(x)
  if (verdict instanceof Promise) return verdict.then(settled => proceed(x, settled, pass))
  return proceed(x, verdict, pass)
}

function proceed(x: Exchange, verdict: Verdict, pass: (x: Exchange) => void): void | Promise<void> {
  if (verdict === 'unavailable') answerUnavailable(x)
  else if (verdict !== 'anonymous') {
    if (isRenewalDue(x, verdict)) return renew(x, verdict)
    pass(x)
  } else if (isAllowListed(x)) pass(x)
  else if (x.head.authorization !== undefined && x.app.config.intercept_header_auth)
    answerRefusedCredentials(x)
  else {
    const here = checkedTarget(x.app, browserOrigin(x) + x.path + x.query, browserOrigin(x)) ?? ''
    if (saysNotNavigating(x.head)) answerNotSignedIn(x, here)
    else if (here !== '' && isReplayable(x)) return keepAndLogin(x, here)
    else redirect(x, loginUrl(x, here))
  }
}

function isAllowListed(x: Exchange): boolean {
  const path = decodedPath(x.path)
  return path !== null && x.app.allowList.matches(path)
}
