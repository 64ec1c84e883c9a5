// One listener: any number of addresses, plain or TLS, one handler. Keeps limits, the error boundary, the PROXY protocol and the
// drain in one place, so that no program has its own idea of them.
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { SecureContext } from 'node:tls'
import { errorText, type Log } from '../log.ts'
import { answerInternalError, answerOnSocket, ListenError } from './errors.ts'
import { acceptProxyHeader, type ProxySource, setSource } from './proxy-protocol.ts'
import { requestId } from './request-id.ts'
import type { TrustedPeers } from './trusted-peers.ts'

export interface ListenAddress {
  host: string
  port: number
}

export interface ListenerTls {
  /** PEM; used without SNI and for names `sni` does not know */
  key: string
  cert: string
  /** Certificate for a name, or undefined for the one above. */
  sni?: (servername: string) => SecureContext | undefined
}

export interface ListenerOptions {
  /** `HTTP`, `HTTPS`, `metrics`: for log lines */
  name: string
  /** the setting that named the addresses, for the error message */
  setting?: string
  /** empty: nothing is opened */
  listen: readonly ListenAddress[]
  tls?: ListenerTls
  handler: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>
  /** Without it an upgrade is answered 404. Whoever takes the socket must end it. */
  upgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => void | Promise<void>
  trusted: TrustedPeers
  /** believe a PROXY header (v1, v2) from trusted peers; from others the bytes are ordinary HTTP */
  proxyProtocol?: boolean
  log: Log
}

export interface Listener {
  /** as bound, in the order given */
  readonly addresses: readonly ListenAddress[]
  /** Stops accepting, lets requests in flight end, then cuts what is left after `graceMs`, upgraded sockets included. */
  close(options?: { graceMs?: number }): Promise<void>
}

const limits = {
  maxHeaderSize: 32 * 1024,
  headersTimeout: 15_000,
  // Uploads through a proxy may take any time; a header may not.
  requestTimeout: 0,
  keepAliveTimeout: 75_000,
  connectionsCheckingInterval: 5_000,
  optimizeEmptyRequests: true,
}
const handshakeTimeoutMs = 10_000

/**
 * Opens all addresses, or none.
 * @throws ListenError naming the address and the setting when one of them cannot be bound
 */
export async function createListener(options: ListenerOptions): Promise<Listener> {
  const state: State = { draining: false, sockets: new Set() }
  const opened: { server: http.Server; address: ListenAddress }[] = []
  try {
    for (const address of options.listen) {
      const server = createServer(options, state)
      opened.push({ server, address: await bind(server, address, options) })
    }
  } catch (error) {
    for (const { server } of opened) server.close()
    throw error
  }
  for (const { address } of opened)
    options.log.info(`Starting ${options.name} server`, { listen: showAddress(address) })
  return {
    addresses: opened.map(one => one.address),
    close: ({ graceMs = 10_000 } = {}) => {
      state.closing ??= drain(
        opened.map(one => one.server),
        state,
        graceMs,
      )
      return state.closing
    },
  }
}

/** `127.0.0.1:9000`, `[::1]:9000` */
export function showAddress({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

interface State {
  draining: boolean
  /** every open connection, whatever it has become */
  sockets: Set<Socket>
  closing?: Promise<void>
}

function createServer(options: ListenerOptions, state: State): http.Server {
  const { tls, handler, log } = options
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    if (state.draining) response.setHeader('connection', 'close')
    try {
      const done = handler(request, response)
      if (done !== undefined) done.catch(error => fail(request, response, error, log))
    } catch (error) {
      fail(request, response, error, log)
    }
  }
  const server =
    tls === undefined
      ? http.createServer(limits, onRequest)
      : https.createServer({ ...limits, ...tlsOptions(tls) }, onRequest)
  server.on('upgrade', (request, socket, head) => onUpgrade(request, socket, head, options, state))
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => onClientError(error, socket))
  if (options.proxyProtocol === true) readProxyHeaders(server, options)
  server.prependListener('connection', (socket: Socket) => {
    state.sockets.add(socket)
    socket.once('close', () => state.sockets.delete(socket))
  })
  return server
}

function tlsOptions({ key, cert, sni }: ListenerTls): https.ServerOptions {
  return {
    key,
    cert,
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: handshakeTimeoutMs,
    SNICallback: (servername, done) => {
      try {
        done(null, sni?.(servername.toLowerCase()))
      } catch (error) {
        done(error instanceof Error ? error : new Error('no certificate'))
      }
    },
  }
}

function fail(request: IncomingMessage, response: ServerResponse, error: unknown, log: Log): void {
  const id = requestId(request)
  log.error('request failed', { request_id: id, method: request.method, error: errorText(error) })
  answerInternalError(request, response, id)
}

function onUpgrade(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  { upgrade, log }: ListenerOptions,
  state: State,
): void {
  // From here on nobody else listens for errors of this socket, and an unheard one would end the process.
  socket.on('error', () => {})
  const failed = (error: unknown) => {
    const id = requestId(request)
    log.error('upgrade failed', { request_id: id, method: request.method, error: errorText(error) })
    answerOnSocket(socket, 500, `Internal server error.\nRequest id: ${id}\n`)
  }
  if (upgrade === undefined || state.draining) {
    answerOnSocket(socket, upgrade === undefined ? 404 : 503)
    return
  }
  try {
    const done = upgrade(request, socket, head)
    if (done !== undefined) done.catch(failed)
  } catch (error) {
    failed(error)
  }
}

function onClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET') socket.destroy()
  else if (error.code === 'HPE_HEADER_OVERFLOW') answerOnSocket(socket, 431)
  else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') answerOnSocket(socket, 408)
  else answerOnSocket(socket, 400)
}

/** Puts the PROXY header's reader in front of the server's own connection listener. */
function readProxyHeaders(server: http.Server, { trusted, log }: ListenerOptions): void {
  const accept = server.listeners('connection')
  // A TLS socket is a new object over the same connection, found again by its four-part name.
  const sources = new Map<string, ProxySource>()
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    const next = () => {
      for (const listener of accept) listener.call(server, socket)
    }
    const peer = socket.remoteAddress
    if (!trusted.isTrusted(peer)) {
      next()
      return
    }
    const connection = connectionName(socket)
    acceptProxyHeader(socket, {
      timeoutMs: limits.headersTimeout,
      refused: reason => log.warning('connection refused', { reason, peer }),
      next: () => {
        if (!(server instanceof https.Server)) {
          next()
          socket.resume()
          return
        }
        // TLS takes what is buffered by itself, and loses it when the raw socket flows.
        if (socket.remoteAddress !== undefined && connectionName(socket) !== connection) {
          sources.set(connection, { address: socket.remoteAddress, port: socket.remotePort ?? 0 })
          socket.once('close', () => sources.delete(connection))
        }
        next()
      },
    })
  })
  server.prependListener('secureConnection', (socket: Socket) => {
    const source = sources.get(connectionName(socket))
    if (source !== undefined) setSource(socket, source)
  })
}

function connectionName({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`
}

async function bind(
  server: http.Server,
  { host, port }: ListenAddress,
  { name, setting, listen }: ListenerOptions,
): Promise<ListenAddress> {
  // `::` takes IPv4 as well unless the list opens that itself.
  const ipv6Only = host === '::' && listen.some(other => other.host === '0.0.0.0' && other.port === port)
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port, ipv6Only }, () => {
        server.removeListener('error', reject)
        resolve()
      })
    })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'UNKNOWN'
    const where = setting === undefined ? `for ${name}` : `(${setting})`
    throw new ListenError(`cannot listen on ${showAddress({ host, port })} ${where}: ${advice(code)}`, code, {
      cause: error,
    })
  }
  const bound = server.address() as AddressInfo
  return { host, port: bound.port }
}

function advice(code: string): string {
  if (code === 'EADDRINUSE') return 'the port is taken; stop the program that has it or choose another one'
  if (code === 'EACCES') return 'not permitted; ports below 1024 need a privilege, choose a higher one'
  if (code === 'EADDRNOTAVAIL') return 'this machine does not have that address'
  if (code === 'ENOTFOUND') return 'the host name is not known; use an address'
  return code
}

async function drain(servers: http.Server[], state: State, graceMs: number): Promise<void> {
  state.draining = true
  // close() ends only connections that are idle at that moment; those that answer later must be closed as they become idle.
  const closeIdle = setInterval(() => {
    for (const server of servers) server.closeIdleConnections()
  }, 50)
  const cut = setTimeout(() => {
    for (const socket of state.sockets) socket.destroy()
  }, graceMs)
  // Opened ahead of need and never used: nothing is lost.
  for (const socket of state.sockets) if (socket.bytesRead === 0) socket.destroy()
  const closed = servers.map(server => new Promise<void>(resolve => server.close(() => resolve())))
  await Promise.all(closed)
  clearInterval(closeIdle)
  clearTimeout(cut)
}
