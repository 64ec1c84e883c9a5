// One request on its walk through the outpost, and the one way to answer it: every answer passes here, so that each of them has its
// cookies, its access line and its place in the metrics.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type AccessLog, accessFragment } from '../http/access-log.ts'
import { serializeCookie } from '../http/cookies.ts'
import { requestId } from '../http/request-id.ts'
import type { TrustedPeers } from '../http/trusted-peers.ts'
import type { Log } from '../log.ts'
import type { OutpostLink } from '../wire/link.ts'
import type { Application } from './application.ts'
import type { Redemptions } from './callback.ts'
import { type ErrorPage, errorPage, errorPagePolicy } from './error-page.ts'
import type { Forwarder } from './forward.ts'
import type { HeaderLogins } from './header-login.ts'
import { derive, type Identity } from './identity-headers.ts'
import type { OutpostMetrics } from './metrics.ts'
import type { MisconfigurationReport } from './misconfiguration.ts'
import type { RequestHead } from './request-head.ts'
import type { Sessions } from './sessions/sessions.ts'

/** What all requests share. */
export interface Parts {
  readonly link: OutpostLink
  readonly sessions: Sessions
  readonly trusted: TrustedPeers
  readonly headerLogins: HeaderLogins
  readonly redemptions: Redemptions
  readonly forwarder: Forwarder
  readonly metrics: OutpostMetrics
  readonly accessLog: AccessLog
  readonly log: Log
  /** bytes of a form that is sent again after the login it came too late for; 0: none is */
  readonly replayBytes: number
  /** tells Core about a front proxy that is set up wrongly */
  readonly reportMisconfiguration: MisconfigurationReport
  readonly now: () => number
}

export interface Exchange {
  readonly parts: Parts
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly head: RequestHead
  readonly app: Application
  /** scheme and host the browser used for the URL that is judged */
  readonly scheme: 'http' | 'https'
  readonly host: string
  /** raw path and query (with `?`) of the URL that is judged */
  readonly path: string
  readonly query: string
  /** ms, monotonic */
  readonly startedAt: number
  /** Set-Cookie values for the answer */
  cookies: string[] | null
  identity: Identity | null
  /** The `Authorization` header was meant for the outpost and goes no further. */
  authorizationUsed: boolean
}

/** `https://host:port` as the browser sees it. */
export function browserOrigin(x: Exchange): string {
  return `${x.scheme}://${x.host}`
}

/**
 * Sends the answer, with the cookies of the exchange.
 * @param headers flat list of names and values; may be changed
 */
export function answer(x: Exchange, status: number, headers: string[], body = ''): void {
  const { res, req } = x
  if (res.headersSent || res.destroyed) return
  if (x.cookies !== null) for (const cookie of x.cookies) headers.push('Set-Cookie', cookie)
  const size = body === '' ? 0 : Buffer.byteLength(body)
  if (status !== 204) headers.push('Content-Length', String(size))
  res.writeHead(status, headers)
  if (size === 0 || req.method === 'HEAD') res.end()
  else res.end(body)
  finished(x, status, size)
}

/** A redirect; never stored, since it depends on who asks. */
export function redirect(x: Exchange, location: string): void {
  answer(x, 302, ['Location', location, 'Cache-Control', 'no-store'])
}

/** Plain text, as programs in front of the outpost expect it. */
export function answerText(x: Exchange, status: number, text: string, headers: string[] = []): void {
  headers.push('Content-Type', 'text/plain; charset=utf-8', 'X-Content-Type-Options', 'nosniff')
  headers.push('Cache-Control', 'no-store')
  answer(x, status, headers, text)
}

/** A page for people; `page.requestId` is filled in. */
export function answerPage(
  x: Exchange,
  status: number,
  page: Omit<ErrorPage, 'requestId'>,
  headers: string[] = [],
): void {
  headers.push('Content-Type', 'text/html; charset=utf-8', 'Cache-Control', 'no-store')
  headers.push('Content-Security-Policy', errorPagePolicy, 'X-Content-Type-Options', 'nosniff')
  headers.push('Referrer-Policy', 'no-referrer')
  answer(x, status, headers, errorPage({ ...page, requestId: requestId(x.req) }))
}

/** A signed-in user whose session cannot be looked up now: wait, do not log in again. */
export function answerUnavailable(x: Exchange): void {
  const text =
    'The session database cannot be reached. You are still signed in; please try again in a moment.'
  answerPage(x, 503, { title: 'Service Unavailable', text, again: null }, ['Retry-After', '5'])
}

/** A Set-Cookie for every path of the application. @param maxAge seconds; 0 removes the cookie */
export function addCookie(x: Exchange, name: string, value: string, maxAge: number): void {
  const { secure, cookieDomain: domain } = x.app
  const cookie = serializeCookie(name, value, { domain, maxAge, secure, httpOnly: true, sameSite: 'Lax' })
  x.cookies = [...(x.cookies ?? []).filter(other => !other.startsWith(`${name}=`)), cookie]
}

/** The session cookie, in place of any other Set-Cookie of that name in this answer. */
export function setSessionCookie(x: Exchange, value: string, maxAgeSeconds: number): void {
  addCookie(x, x.app.cookieName, value, maxAgeSeconds)
}

/** Removes the session cookie from the browser. */
export function clearSessionCookie(x: Exchange): void {
  setSessionCookie(x, '', 0)
}

/** Writes the access line and counts the request; called once per answer. */
export function finished(x: Exchange, status: number, size: number): void {
  const { parts, req, app } = x
  const runtimeMs = performance.now() - x.startedAt
  parts.metrics.observe(app.host, req.method ?? '', 'app', runtimeMs / 1000)
  parts.accessLog.write({
    uri: req.url ?? '',
    host: x.host,
    logger: 'authentik.outpost.proxyv2.application',
    method: req.method ?? '',
    remote: remoteOf(req),
    requestId: requestId(req),
    runtimeMs,
    scheme: x.scheme,
    size,
    status,
    fragment: fragmentOf(x),
  })
}

/** The same for a request that was refused before its application was known. */
export function refused(
  parts: Parts,
  req: IncomingMessage,
  about: { host: string; scheme: string; status: number; userAgent?: string },
): void {
  parts.metrics.observe('other', req.method ?? '', 'app', 0)
  parts.accessLog.write({
    uri: req.url ?? '',
    host: about.host,
    logger: 'authentik.outpost.proxyv2',
    method: req.method ?? '',
    remote: remoteOf(req),
    requestId: requestId(req),
    runtimeMs: 0,
    scheme: about.scheme,
    size: 0,
    status: about.status,
    fragment: accessFragment({ userAgent: about.userAgent ?? '' }),
  })
}

/** Part of the access line that stays the same for a user and a program; kept with the last program a user came with. */
function fragmentOf({ identity, app, head }: Exchange): string {
  const userAgent = head.userAgent ?? ''
  if (identity === null) return accessFragment({ name: app.name, userAgent })
  const derived = derive(app, identity)
  if (derived.line === null || derived.line.userAgent !== userAgent) {
    const fragment = accessFragment({ name: app.name, user: derived.user, userAgent })
    derived.line = { userAgent, fragment }
  }
  return derived.line.fragment
}

const remoteName = Symbol('remote')

/** Address and port of the TCP peer, made once per connection. */
function remoteOf(req: IncomingMessage): string {
  const socket = req.socket as IncomingMessage['socket'] & { [remoteName]?: string }
  socket[remoteName] ??= `${socket.remoteAddress ?? ''}:${socket.remotePort ?? ''}`
  return socket[remoteName]
}
