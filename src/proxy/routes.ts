// Every path an outpost answers, on one page. First its own paths and the two query signatures, then the application's.
//
//   P/ping…                  204, any host                      P = /outpost.goauthentik.io
//   P/static/…               404: no page of ours needs a file
//   P/auth/traefik|caddy|nginx|envoy…   forward auth; the application is the one of the URL being judged
//   P/start  P/callback  P/sign_out     login and sign-out of the application of the host
//   any path with X-authentik-auth-callback=true or X-authentik-logout=true
//   everything else          mode proxy: the upstream; forward modes: 404, or Core when the outpost is embedded
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { answerInternalError } from '../http/errors.ts'
import { requestId } from '../http/request-id.ts'
import { publicOrigin } from '../http/trusted-peers.ts'
import { errorText } from '../log.ts'
import { outpostPrefix } from '../wire/outpost.ts'
import type { Application } from './application.ts'
import { answerPlain, answerStarting, answerUnknownHost } from './bare-answers.ts'
import { handleCallback } from './callback.ts'
import { answerText, type Exchange, type Parts, refused } from './exchange.ts'
import { type Front, frontOf, handleForwardAuth, urlOf } from './forward-auth.ts'
import { handleStart } from './login.ts'
import { handleProxied } from './proxy-mode.ts'
import { type RequestHead, readHead } from './request-head.ts'
import type { Serving } from './serving.ts'
import { handleSignOut } from './sign-out.ts'
import { signatureOf } from './signature.ts'

type Handler = (x: Exchange) => void | Promise<void>

/** The paths of an application itself, under the prefix. */
const ownPaths: Record<string, Handler> = {
  '/start': handleStart,
  '/callback': x => handleCallback(x, x.query),
  '/sign_out': handleSignOut,
}

/**
 * Answers a request, or leaves it.
 * @param serving null until the first configuration is there
 * @param embedded what belongs to no application is Core's
 * @returns false when the request is not the outpost's
 */
export function route(
  serving: Serving | null,
  req: IncomingMessage,
  res: ServerResponse,
  embedded: boolean,
): boolean {
  const { path, query } = splitTarget(req.url ?? '')
  const own = ownPathOf(path)
  if (own?.startsWith('/ping')) return answerPing(serving, req, res)
  if (serving === null) return answerStarting(res, embedded && own === null)
  const head = readHead(req)
  if (own !== null) {
    if (own.startsWith('/static')) return answerPlain(res, 404, '404 page not found\n')
    const asked = frontOf(path)
    if (asked !== null) return judgeFor(serving, req, res, head, asked.front, asked.rest + query)
  }
  const { scheme, host } = publicOf(serving.parts, req, head)
  const app = serving.router.find(host)
  if (app === null && embedded && own === null) return false
  if (app === null) return refuseHost(serving.parts, req, res, { host, scheme, userAgent: head.userAgent })
  const handler = handlerFor(app, own, query, x => serving.parts.forwarder.forward(x))
  if (handler === null && embedded && own === null) return false
  const x = createExchange(serving.parts, req, res, head, app, { scheme, host, path, query })
  if (isUnusable(x)) return true
  run(x, handler ?? notFound)
  return true
}

/** The same for upgrades: only applications in mode `proxy` have any. */
export function routeUpgrade(
  serving: Serving | null,
  req: IncomingMessage,
  socket: Duplex,
  first: Buffer,
  embedded: boolean,
): boolean {
  const { path, query } = splitTarget(req.url ?? '')
  const own = ownPathOf(path)
  if (serving === null && embedded && own === null) return false
  const head = readHead(req)
  const found = serving === null ? null : publicOf(serving.parts, req, head)
  const app = found === null ? null : (serving?.router.find(found.host) ?? null)
  if (embedded && own === null && app?.mode !== 'proxy') return false
  const res = new http.ServerResponse(req)
  res.assignSocket(req.socket)
  res.shouldKeepAlive = false
  res.on('finish', () => socket.end())
  if (serving === null || found === null) return answerStarting(res, false)
  // Some front proxies hand the client's upgrade on when they ask; the question is an ordinary one all the same.
  const asked = own === null ? null : frontOf(path)
  if (asked !== null) return judgeFor(serving, req, res, head, asked.front, asked.rest + query)
  if (app === null) return refuseHost(serving.parts, req, res, { ...found, userAgent: head.userAgent })
  const x = createExchange(serving.parts, req, res, head, app, { ...found, path, query })
  if (isUnusable(x)) return true
  const open: Handler = one => serving.tunnels.open(one, socket, first)
  run(x, own === null && app.mode === 'proxy' ? one => handleProxied(one, open) : notFound)
  return true
}

function handlerFor(
  app: Application,
  own: string | null,
  query: string,
  pass: (x: Exchange) => void,
): Handler | null {
  const signature = query === '' ? null : signatureOf(query)
  if (signature === 'callback') return x => handleCallback(x, query)
  if (signature === 'sign-out') return handleSignOut
  if (own !== null) return (Object.hasOwn(ownPaths, own) ? ownPaths[own] : undefined) ?? null
  return app.mode === 'proxy' ? x => handleProxied(x, pass) : null
}

/** Forward auth: first whether the asker may ask, then the URL, then its application. */
function judgeFor(
  { parts, router }: Serving,
  req: IncomingMessage,
  res: ServerResponse,
  head: RequestHead,
  front: Front,
  rest: string,
): boolean {
  const peer = req.socket.remoteAddress
  if (front !== 'envoy' && !parts.trusted.isTrusted(peer)) {
    parts.log.warning('forward auth request from a peer that is not trusted', {
      peer,
      front,
      hint: 'add the address of the front proxy to AUTHENTIK_LISTEN__TRUSTED_PROXY_CIDRS',
    })
    refused(parts, req, { host: head.host ?? '', scheme: 'http', status: 400, userAgent: head.userAgent })
    return answerPlain(res, 400, 'this peer is not a trusted proxy\n')
  }
  const url = urlOf(front, head, () => publicOf(parts, req, head).scheme, rest)
  if ('problem' in url) {
    parts.log.error('failed to detect a forward URL', { front, problem: url.problem, peer })
    parts.reportMisconfiguration(front, req)
    refused(parts, req, { host: head.host ?? '', scheme: 'http', status: 400, userAgent: head.userAgent })
    return answerPlain(res, 400, 'configuration error\n')
  }
  const app = router.find(url.host)
  if (app === null) return refuseHost(parts, req, res, { ...url, userAgent: head.userAgent })
  const secure = front === 'envoy' && app.secure ? 'https' : url.scheme
  const x = createExchange(parts, req, res, head, app, { ...url, scheme: secure })
  run(x, app.mode === 'proxy' ? notFound : one => handleForwardAuth(one, front))
  return true
}

function refuseHost(
  parts: Parts,
  req: IncomingMessage,
  res: ServerResponse,
  about: { host: string; scheme: string; userAgent?: string },
): boolean {
  refused(parts, req, { host: about.host, scheme: about.scheme, status: 400, userAgent: about.userAgent })
  return answerUnknownHost(res, about.host)
}

function run(x: Exchange, handler: Handler): void {
  const done = handler(x)
  if (done instanceof Promise)
    done.catch((error: unknown) => {
      x.parts.log.error('request failed', {
        request_id: requestId(x.req),
        name: x.app.name,
        error: errorText(error),
      })
      answerInternalError(x.req, x.res, requestId(x.req))
    })
}

/** A target or a Host that could be read in two ways is refused before anything is decided by it. */
function isUnusable(x: Exchange): boolean {
  if (!x.head.ambiguous && x.path.startsWith('/')) return false
  answerText(x, 400, 'bad request\n')
  return true
}

function notFound(x: Exchange): void {
  answerText(x, 404, '404 page not found\n')
}

function createExchange(
  parts: Parts,
  req: IncomingMessage,
  res: ServerResponse,
  head: RequestHead,
  app: Application,
  url: Pick<Exchange, 'scheme' | 'host' | 'path' | 'query'>,
): Exchange {
  const { scheme, host, path, query } = url
  return {
    parts,
    req,
    res,
    head,
    app,
    scheme,
    host,
    path,
    query,
    startedAt: performance.now(),
    cookies: null,
    identity: null,
    authorizationUsed: false,
  }
}

function publicOf(parts: Parts, req: IncomingMessage, head: RequestHead) {
  return publicOrigin(req.socket, head, parts.trusted)
}

function splitTarget(url: string): { path: string; query: string } {
  const mark = url.indexOf('?')
  return mark === -1 ? { path: url, query: '' } : { path: url.slice(0, mark), query: url.slice(mark) }
}

/** Path behind the prefix, which ends at a path border; null when the path is not the outpost's own. */
function ownPathOf(path: string): string | null {
  if (!path.startsWith(outpostPrefix)) return null
  const rest = path.slice(outpostPrefix.length)
  return rest === '' || rest.startsWith('/') ? rest : null
}

function answerPing(serving: Serving | null, req: IncomingMessage, res: ServerResponse): boolean {
  res.writeHead(204).end()
  serving?.parts.metrics.observe('other', req.method ?? '', 'ping', 0)
  return true
}
