// Upgrades (WebSocket and the like): asked of the upstream with the same headers as any request, then bytes both ways. A tunnel ends
// with the session it was opened under.
import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import type { Duplex } from 'node:stream'
import { errorText } from '../log.ts'
import { upstreamHeaders, upstreamHost, upstreamOrigin } from './client-headers.ts'
import { answerPage, answerText, type Exchange, finished } from './exchange.ts'
import { derive } from './identity-headers.ts'
import type { LiveSession } from './sessions/sessions.ts'
import type { UpstreamLimits } from './upstream-limits.ts'

/** Protocols that would let further requests pass beside our checks. */
const refusedProtocols = /^(?:h2c?|http|tls)\b/i

export interface Tunnels {
  open(x: Exchange, socket: Duplex, head: Buffer): void
  count(): number
  close(): void
}

/** Keeps the open tunnels of an outpost. */
export function createTunnels(limits: UpstreamLimits): Tunnels {
  const cuts = new Set<() => void>()
  return {
    open: (x, socket, head) => openTunnel(x, socket, head, { cuts, limits }),
    count: () => cuts.size,
    close() {
      for (const cut of [...cuts]) cut()
    },
  }
}

interface Shared {
  cuts: Set<() => void>
  limits: UpstreamLimits
}

/** The upstream took longer than it may. */
class LateError extends Error {}

function openTunnel(x: Exchange, socket: Duplex, head: Buffer, { cuts, limits }: Shared): void {
  const protocol = x.head.upgrade ?? ''
  if (
    protocol.split(',').some(part => refusedProtocols.test(part.trim())) ||
    !/^[\w./, -]{1,100}$/.test(protocol)
  ) {
    answerText(x, 400, 'this protocol is not tunnelled\n')
    return
  }
  const url = new URL(upstreamOrigin(x))
  const derived = x.identity === null ? null : derive(x.app, x.identity)
  const client = url.protocol === 'https:' ? https : http
  const request = client.request({
    protocol: url.protocol,
    hostname: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? undefined : Number(url.port),
    path: x.path + x.query,
    method: x.req.method,
    headers: [...upstreamHeaders(x, derived, upstreamHost(x)), 'Connection', 'Upgrade', 'Upgrade', protocol],
    setHost: false,
    agent: false,
    rejectUnauthorized: x.app.config.internal_host_ssl_validation !== false,
  })
  request.setTimeout(limits.upgradeMs, () => request.destroy(new LateError('no answer to the upgrade')))
  const tooLate = () => request.destroy(new LateError('connecting timed out'))
  const connecting = setTimeout(tooLate, limits.connectMs)
  request.once('socket', upstream => {
    upstream.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => clearTimeout(connecting))
  })
  const abandon = () => request.destroy()
  socket.once('close', abandon)
  request.on('upgrade', (answer, upstream, first) => {
    clearTimeout(connecting)
    socket.removeListener('close', abandon)
    upstream.setTimeout(0)
    join(x, { socket, head, upstream, first, answer }, cuts)
  })
  request.on('response', answer => {
    clearTimeout(connecting)
    relay(x, answer)
  })
  request.on('error', error => {
    clearTimeout(connecting)
    if (socket.destroyed) return
    x.parts.log.warning('Error proxying to upstream server', { name: x.app.name, error: errorText(error) })
    const late = error instanceof LateError
    const page = { title: late ? 'Gateway Timeout' : 'Bad Gateway', text: 'Failed to connect to backend.' }
    answerPage(x, late ? 504 : 502, { ...page, again: null })
  })
  request.end()
}

interface Ends {
  socket: Duplex
  head: Buffer
  upstream: Duplex
  first: Buffer
  answer: IncomingMessage
}

function join(x: Exchange, { socket, head, upstream, first, answer }: Ends, cuts: Set<() => void>): void {
  let sent = 0
  let unwatch = () => {}
  let over = false
  const cut = () => {
    if (over) return
    over = true
    cuts.delete(cut)
    unwatch()
    socket.destroy()
    upstream.destroy()
    finished(x, 101, sent)
  }
  cuts.add(cut)
  for (const end of [socket, upstream]) end.on('error', cut).on('close', cut)
  upstream.on('data', (chunk: Buffer) => {
    sent += chunk.length
  })
  x.res.detachSocket(x.req.socket)
  socket.write(headText(answer))
  if (first.length > 0) {
    sent += first.length
    socket.write(first)
  }
  if (head.length > 0) upstream.write(head)
  upstream.pipe(socket)
  socket.pipe(upstream)
  unwatch = watch(x, cut)
  if (over) unwatch()
}

function watch({ identity, parts }: Exchange, cut: () => void): () => void {
  if (identity === null) return () => {}
  if ('keyHash' in identity) return parts.sessions.watch(identity as LiveSession, cut)
  const timer = setTimeout(cut, Math.max(0, identity.expiresAt - parts.now())).unref()
  return () => clearTimeout(timer)
}

function headText({ rawHeaders, statusMessage }: IncomingMessage): Buffer {
  let text = `HTTP/1.1 101 ${statusMessage || 'Switching Protocols'}\r\n`
  for (let at = 0; at < rawHeaders.length; at += 2) text += `${rawHeaders[at]}: ${rawHeaders[at + 1]}\r\n`
  return Buffer.from(`${text}\r\n`, 'latin1')
}

/** The upstream refused: its answer reaches the client as it is. */
function relay(x: Exchange, answer: IncomingMessage): void {
  const headers: string[] = []
  for (let at = 0; at < answer.rawHeaders.length; at += 2) {
    const name = answer.rawHeaders[at] as string
    if (/^(?:connection|keep-alive|transfer-encoding|upgrade|trailer|te)$/i.test(name)) continue
    headers.push(name, answer.rawHeaders[at + 1] as string)
  }
  x.res.writeHead(answer.statusCode ?? 502, [...headers, 'Connection', 'close'])
  let size = 0
  answer.on('data', (chunk: Buffer) => {
    size += chunk.length
  })
  answer.on('error', () => x.res.destroy())
  answer.on('end', () => finished(x, answer.statusCode ?? 502, size))
  answer.pipe(x.res)
}
