// Passing a request to the application behind the outpost and its answer back, streaming both ways, with back-pressure. Answers that
// last are watched, so that they end when the session does.
import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { Agent, errors } from '../http/undici.ts'
import { errorText } from '../log.ts'
import { upstreamHeaders, upstreamHost, upstreamOrigin } from './client-headers.ts'
import { answerPage, type Exchange, finished } from './exchange.ts'
import { derive } from './identity-headers.ts'
import { answerHeaders, hasContent } from './message.ts'
import type { LiveSession } from './sessions/sessions.ts'
import type { UpstreamLimits } from './upstream-limits.ts'

export interface Forwarder {
  /** Answers the exchange with what its upstream says. */
  forward(x: Exchange): void
  /** Ends answers that are still running; call it when the grace of a drain is over. */
  close(): Promise<void>
}

/** @param options.watchAfterMs an answer that takes longer is watched, with its session, from then on */
export function createForwarder(options: { watchAfterMs: number; limits: UpstreamLimits }): Forwarder {
  const { limits } = options
  const verifying = createAgent(true, limits)
  const trusting = createAgent(false, limits)
  const running: Passing[] = []
  const perOrigin = new Map<string, number>()
  const sweep = setInterval(
    () => {
      const before = performance.now() - options.watchAfterMs
      for (const passing of running)
        if (passing.watched === null && passing.x.startedAt < before) watch(passing)
    },
    Math.max(50, options.watchAfterMs / 4),
  ).unref()

  return {
    forward(x) {
      const origin = upstreamOrigin(x)
      const count = perOrigin.get(origin) ?? 0
      if (count >= limits.running) {
        answerPage(
          x,
          503,
          { title: 'Service Unavailable', text: 'The application is overloaded.', again: null },
          ['Retry-After', '5'],
        )
        return
      }
      perOrigin.set(origin, count + 1)
      const passing = createPassing(x, origin, running.length, () => {
        removeFrom(running, passing)
        const left = (perOrigin.get(origin) ?? 1) - 1
        if (left === 0) perOrigin.delete(origin)
        else perOrigin.set(origin, left)
      })
      running.push(passing)
      const derived = x.identity === null ? null : derive(x.app, x.identity)
      const { req } = x
      const hasBody = hasContent(req)
      x.res.on('close', () => passing.clientClosed())
      const agent = x.app.config.internal_host_ssl_validation === false ? trusting : verifying
      try {
        agent.dispatch(
          {
            origin,
            path: x.path + x.query,
            method: (req.method ?? 'GET') as Dispatcher.HttpMethod,
            headers: upstreamHeaders(x, derived, upstreamHost(x)),
            body: hasBody ? req : null,
          },
          passing,
        )
      } catch (error) {
        passing.onResponseError(null, error instanceof Error ? error : new Error(String(error)))
      }
    },
    async close() {
      clearInterval(sweep)
      for (const passing of [...running]) passing.cut()
      await Promise.allSettled([verifying.destroy(), trusting.destroy()])
    },
  }
}

function createAgent(verify: boolean, limits: UpstreamLimits): Dispatcher {
  return new Agent({
    connect: { timeout: limits.connectMs, rejectUnauthorized: verify },
    headersTimeout: limits.headersMs,
    bodyTimeout: 0,
    connections: 256,
    pipelining: 1,
    allowH2: false,
    maxHeaderSize: 65_536,
  })
}

/** One request under way, as undici's handler; the functions are shared, only the fields are its own. */
interface Passing {
  readonly x: Exchange
  readonly origin: string
  /** its place in the list of those that run */
  place: number
  readonly done: () => void
  controller: Dispatcher.DispatchController | null
  status: number
  size: number
  ended: boolean
  watched: (() => void) | null
  onRequestStart: typeof onRequestStart
  onResponseStart: typeof onResponseStart
  onResponseData: typeof onResponseData
  onResponseEnd: typeof onResponseEnd
  onResponseError: typeof onResponseError
  clientClosed: typeof clientClosed
  cut: typeof cut
}

function createPassing(x: Exchange, origin: string, place: number, done: () => void): Passing {
  return {
    x,
    origin,
    place,
    done,
    controller: null,
    status: 0,
    size: 0,
    ended: false,
    watched: null,
    onRequestStart,
    onResponseStart,
    onResponseData,
    onResponseEnd,
    onResponseError,
    clientClosed,
    cut,
  }
}

/** The last one takes the place of the one that leaves. A `Set` would do, but its outgrown tables keep what they held in memory. */
function removeFrom(running: Passing[], { place }: Passing): void {
  const last = running.pop()
  if (last === undefined || last.place === place) return
  running[place] = last
  last.place = place
}

function onRequestStart(this: Passing, controller: Dispatcher.DispatchController): void {
  this.controller = controller
  if (this.x.res.destroyed) controller.abort(new Error('client went away'))
}

function onResponseStart(
  this: Passing,
  controller: Dispatcher.DispatchController,
  status: number,
  parsed: IncomingHttpHeaders,
): void {
  if (status < 200) return
  const { x } = this
  this.status = status
  const { app, parts, req } = x
  const origin = this.origin === app.upstream ? this.origin : 'override'
  const seconds = (performance.now() - x.startedAt) / 1000
  parts.metrics.observeUpstream({ method: req.method ?? '', host: app.host, origin }, seconds)
  const headers = answerHeaders(controller.rawHeaders)
  if (x.cookies !== null) for (const cookie of x.cookies) headers.push('Set-Cookie', cookie)
  x.res.writeHead(status, headers)
  // Events and the like may have no body for long, so their head goes out alone; an announced body follows at once, in one write.
  if (parsed['content-length'] === undefined) setImmediate(flushHeaders, this)
}

function flushHeaders(passing: Passing): void {
  if (!passing.ended && passing.size === 0) passing.x.res.flushHeaders()
}

function onResponseData(this: Passing, controller: Dispatcher.DispatchController, chunk: Buffer): void {
  this.size += chunk.length
  if (!this.x.res.write(chunk)) {
    controller.pause()
    this.x.res.once('drain', () => controller.resume())
  }
}

function onResponseEnd(this: Passing): void {
  if (this.ended) return
  settle(this)
  this.x.res.end()
  finished(this.x, this.status, this.size)
}

function onResponseError(
  this: Passing,
  _controller: Dispatcher.DispatchController | null,
  error: Error,
): void {
  if (this.ended) return
  settle(this)
  const { x } = this
  if (x.res.destroyed) {
    finished(x, 499, this.size)
    return
  }
  x.parts.log.warning('Error proxying to upstream server', { name: x.app.name, error: errorText(error) })
  if (x.res.headersSent) {
    x.res.destroy()
    finished(x, this.status, this.size)
    return
  }
  const late = error instanceof errors.HeadersTimeoutError || error instanceof errors.ConnectTimeoutError
  const isAdmin = x.identity?.claims.ak_proxy?.is_superuser === true
  const text = isAdmin
    ? `Error proxying to upstream server: ${errorText(error)}`
    : 'Failed to connect to backend.'
  answerPage(x, late ? 504 : 502, { title: late ? 'Gateway Timeout' : 'Bad Gateway', text, again: null })
}

/** The client is gone, or has everything. */
function clientClosed(this: Passing): void {
  if (this.ended || this.x.res.writableFinished) return
  if (this.controller === null) {
    settle(this)
    finished(this.x, 499, 0)
  } else this.controller.abort(new Error('client went away'))
}

/** The session ended: nothing more is sent. */
function cut(this: Passing): void {
  this.x.res.destroy()
}

function settle(passing: Passing): void {
  passing.ended = true
  passing.watched?.()
  passing.done()
}

function watch(passing: Passing): void {
  const { identity, parts } = passing.x
  if (identity === null) passing.watched = () => {}
  else if ('keyHash' in identity)
    passing.watched = parts.sessions.watch(identity as LiveSession, () => passing.cut())
  else {
    const timer = setTimeout(() => passing.cut(), Math.max(0, identity.expiresAt - parts.now())).unref()
    passing.watched = () => clearTimeout(timer)
  }
}
