// Forward auth: a front proxy asks about each request, the answer's status decides. The four front proxies differ in how they name the
// URL, and in that nginx cannot pass a redirect on.
import { outpostPrefix } from '../wire/outpost.ts'
import { decodedPath } from './allow-list.ts'
import { authenticate, type Verdict } from './authenticate.ts'
import { handleCallback } from './callback.ts'
import { answer, answerText, answerUnavailable, browserOrigin, type Exchange } from './exchange.ts'
import { envoyUrl, type ForwardUrl, forwardedUrl, originalUrl, type Unbuildable } from './forward-url.ts'
import { derive, type Identity, identityHeaderNames } from './identity-headers.ts'
import { answerNotSignedIn, startLogin } from './login.ts'
import { checkedTarget } from './redirect.ts'
import { isRenewalDue, renew } from './renewal.ts'
import { type RequestHead, saysNotNavigating } from './request-head.ts'
import { handleSignOut } from './sign-out.ts'
import { signatureOf } from './signature.ts'

export type Front = 'traefik' | 'caddy' | 'nginx' | 'envoy'

/** Caddy and Envoy let the client's own header through when the answer lacks it: on allow-listed paths they are told of nobody. */
const nobody = identityHeaderNames.flatMap(name => [name, ''])

const frontPath = new RegExp(`^${outpostPrefix}/auth/(?:(traefik|caddy|nginx)|(envoy)(/.*)?)$`)

/** Which front proxy a path belongs to, and the rest of the path for Envoy; null when it is none. */
export function frontOf(path: string): { front: Front; rest: string } | null {
  const parts = frontPath.exec(path)
  if (parts === null) return null
  return { front: (parts[1] ?? parts[2]) as Front, rest: parts[3] ?? '/' }
}

/**
 * @param scheme of the request itself, for the forms that do not name one
 * @param rest path and query behind the prefix, for Envoy
 */
export function urlOf(
  front: Front,
  head: RequestHead,
  scheme: () => 'http' | 'https',
  rest: string,
): ForwardUrl | Unbuildable {
  if (front === 'nginx') return originalUrl(head, scheme)
  return front === 'envoy' ? envoyUrl(head, scheme(), rest) : forwardedUrl(head)
}

/** Judges the URL of the exchange for a front proxy. */
export function handleForwardAuth(x: Exchange, front: Front): void | Promise<void> {
  if (front !== 'nginx' && x.query !== '') {
    const signature = signatureOf(x.query)
    if (signature === 'callback') return handleCallback(x, x.query)
    if (signature === 'sign-out') return handleSignOut(x)
  }
  const verdict = authenticate(x)
  if (verdict instanceof Promise) return verdict.then(settled => judge(x, front, settled))
  return judge(x, front, verdict)
}

function judge(x: Exchange, front: Front, verdict: Verdict): void | Promise<void> {
  if (verdict === 'unavailable') return answerUnavailable(x)
  if (verdict !== 'anonymous') {
    // nginx has no way to pass a redirect on.
    const renews = front !== 'nginx' && isRenewalDue(x, verdict)
    return renews ? renew(x, verdict) : answerIdentity(x, verdict)
  }
  const path = decodedPath(x.path)
  if (path !== null && isAllowed(x, path))
    return answer(x, 200, front === 'caddy' || front === 'envoy' ? nobody.slice() : [])
  if (front === 'nginx') {
    if (path !== null && isOwnPath(path)) return answer(x, 200, [])
    return answerText(x, 401, 'unauthorized request\n')
  }
  const target = checkedTarget(x.app, browserOrigin(x) + x.path + x.query, browserOrigin(x)) ?? ''
  return saysNotNavigating(x.head) ? answerNotSignedIn(x, target) : startLogin(x, target)
}

/** 200 with the identity headers, which the front proxy copies into the request it lets through. */
function answerIdentity(x: Exchange, identity: Identity): void {
  const derived = derive(x.app, identity)
  const headers = derived.headers.slice()
  // Credentials that were for the outpost are not for the application: a front proxy that copies this header empties the client's.
  if (x.authorizationUsed && !derived.names.has('authorization')) headers.push('Authorization', '')
  headers.push('User-Agent', x.head.userAgent ?? '')
  answer(x, 200, headers)
}

function isAllowed({ app, scheme, host }: Exchange, path: string): boolean {
  return app.allowList.matches(app.mode === 'forward_domain' ? `${scheme}://${host}${path}` : path)
}

function isOwnPath(path: string): boolean {
  return path === outpostPrefix || path.startsWith(`${outpostPrefix}/`)
}
