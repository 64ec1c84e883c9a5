// Opens the socket of a PostgreSQL connection and judges its TLS before one byte of the startup message (user name, credentials)
// is sent. The driver cannot do that: it queues the startup message as soon as the handshake begins.
import net from 'node:net'
import tls from 'node:tls'
import { PgError } from './errors.ts'
import { describeHost, type PgHost, type PgTarget } from './target.ts'
import { hasExtendedMasterSecret } from './tls-ems.ts'
import { type TlsPlan, tlsErrorLine } from './tls-plan.ts'

/** `plain`: no TLS; `tls`: TLS or failure; `offer`: TLS unless the server has none. */
export type DialWay = 'plain' | 'tls' | 'offer'

export interface Dialed {
  socket: net.Socket
  encrypted: boolean
}

/** The TLS handshake itself did not succeed; under `prefer` the plain way may still be tried. */
export class HandshakeFailed extends PgError {}

/** SSLRequest: length 8, code 1234.5679 (PostgreSQL protocol, "SSL Session Encryption"). */
const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])

/**
 * Connects to one host, with TLS as asked, and checks the outcome.
 * @param plan how TLS is verified; needed unless `way` is `plain`
 * @param signal ends the attempt; its reason becomes the error
 * @returns a socket nobody reads from yet
 * @throws PgError `database_unavailable` (not reachable), `database_refused` (TLS)
 */
export async function dial(
  target: PgTarget,
  at: PgHost,
  way: DialWay,
  plan: TlsPlan | undefined,
  signal: AbortSignal,
): Promise<Dialed> {
  const socket = await openSocket(at, signal)
  if (way === 'plain') return { socket, encrypted: false }
  try {
    if (plan === undefined) throw new Error('TLS without a plan')
    if (target.sslnegotiation !== 'direct') {
      const answer = await askForTls(socket, at, signal)
      if (answer === 'no') {
        if (way === 'offer') return { socket, encrypted: false }
        throw new PgError(
          'database_refused',
          `PostgreSQL at ${describeHost(at)} does not offer TLS, but AUTHENTIK_POSTGRESQL__SSLMODE is ${target.sslmode}. Turn ssl on in the server, or choose another mode.`,
        )
      }
    }
    const secured = await handshake(socket, at, plan, target.sslnegotiation === 'direct', signal)
    judge(secured, at)
    return { socket: secured, encrypted: true }
  } catch (error) {
    socket.destroy()
    throw error
  }
}

function openSocket(at: PgHost, signal: AbortSignal): Promise<net.Socket> {
  const socket = at.host.startsWith('/')
    ? net.connect({ path: `${at.host}/.s.PGSQL.${at.port}` })
    : net.connect({ host: at.host, port: at.port })
  socket.setNoDelay(true)
  socket.setKeepAlive(true, 10_000)
  return outcome<net.Socket>(socket, signal, (on, resolve, reject) => {
    on('connect', () => resolve(socket))
    on('error', error => reject(unreachable(at, error)))
  })
}

function askForTls(socket: net.Socket, at: PgHost, signal: AbortSignal): Promise<'yes' | 'no'> {
  return outcome(socket, signal, (on, resolve, reject) => {
    on('error', error => reject(unreachable(at, error)))
    on('close', () =>
      reject(unreachable(at, new Error('connection closed instead of an answer to SSLRequest'))),
    )
    on('data', answer => {
      socket.pause()
      // More than one byte was put there by somebody in between, to be taken for encrypted data (CVE-2021-23222).
      if (answer.length !== 1) {
        const text = `PostgreSQL at ${describeHost(at)} sent more than the one-byte answer to SSLRequest; the connection is not trustworthy. Nothing was sent.`
        reject(new PgError('database_refused', text))
      } else if (answer[0] === 0x53) resolve('yes')
      else if (answer[0] === 0x4e) resolve('no')
      else {
        const text = `what answers at ${describeHost(at)} is not PostgreSQL: unknown answer to SSLRequest. Check AUTHENTIK_POSTGRESQL__HOST and AUTHENTIK_POSTGRESQL__PORT.`
        reject(new PgError(answer[0] === 0x45 ? 'database_unavailable' : 'database_refused', text))
      }
    })
    socket.write(sslRequest)
  })
}

function handshake(
  socket: net.Socket,
  at: PgHost,
  plan: TlsPlan,
  direct: boolean,
  signal: AbortSignal,
): Promise<tls.TLSSocket> {
  const secured = tls.connect({
    socket,
    ...plan.options,
    host: at.host,
    // A server name must not be an address (RFC 6066 section 3).
    ...(net.isIP(at.host) === 0 ? { servername: at.host } : {}),
    ...(direct ? { ALPNProtocols: ['postgresql'] } : {}),
  })
  return outcome(secured, signal, (on, resolve, reject) => {
    on('error', error => reject(handshakeError(at, plan, error)))
    on('close', () =>
      reject(handshakeError(at, plan, new Error('connection closed during the TLS handshake'))),
    )
    on('secureConnect', () => {
      if (direct && secured.alpnProtocol !== 'postgresql') {
        const text = `PostgreSQL at ${describeHost(at)} did not agree to the protocol "postgresql" by ALPN; sslnegotiation=direct needs PostgreSQL 17 or newer.`
        reject(new PgError('database_refused', text))
      } else resolve(secured)
    })
  })
}

function handshakeError(at: PgHost, plan: TlsPlan, error: Error): PgError {
  const line = tlsErrorLine(describeHost(at), plan.sslmode, error)
  return line.policy
    ? new PgError('database_refused', line.text, { cause: error })
    : new HandshakeFailed('database_refused', line.text, { cause: error })
}

/** TLS 1.3, or 1.2 with the Extended Master Secret; there is no switch. */
function judge(socket: tls.TLSSocket, at: PgHost): void {
  const version = socket.getProtocol()
  if (version === 'TLSv1.3') return
  const session = socket.getSession()
  if (version === 'TLSv1.2' && session !== undefined && hasExtendedMasterSecret(session) === true) return
  const weakness = version === 'TLSv1.2' ? 'TLS 1.2 without Extended Master Secret (RFC 7627)' : `${version}`
  throw new PgError(
    'database_refused',
    `PostgreSQL at ${describeHost(at)} negotiated ${weakness}. Upgrade the server's TLS library or enable TLS 1.3 (ssl_min_protocol_version). Nothing was sent.`,
  )
}

function unreachable(at: PgHost, error: Error): PgError {
  const code = 'code' in error ? String(error.code) : ''
  const why =
    code === 'ECONNREFUSED' || code === 'ENOENT'
      ? 'nothing listens there'
      : code === 'ENOTFOUND' || code === 'EAI_AGAIN'
        ? 'the name cannot be resolved'
        : error.message
  return new PgError(
    'database_unavailable',
    `cannot reach PostgreSQL at ${describeHost(at)}: ${why}. Is it running, and are AUTHENTIK_POSTGRESQL__HOST and AUTHENTIK_POSTGRESQL__PORT right?`,
    { cause: error },
  )
}

type Step<T> = (
  on: (event: string, listener: (value: Buffer & Error) => void) => void,
  resolve: (value: T) => void,
  reject: (error: Error) => void,
) => void

/** One step on a socket: settles once, leaves no listener of its own behind, and destroys the socket when it fails or `signal` fires. */
function outcome<T>(socket: net.Socket, signal: AbortSignal, step: Step<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const own: [string, (value: Buffer & Error) => void][] = []
    const settle = () => {
      signal.removeEventListener('abort', onAbort)
      for (const [event, listener] of own) socket.removeListener(event, listener)
    }
    const fail = (error: Error) => {
      settle()
      socket.destroy()
      reject(error)
    }
    const onAbort = () => fail(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
    socket.on('error', () => {}) // a late error must never be without a listener
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) {
      onAbort()
      return
    }
    const on = (event: string, listener: (value: Buffer & Error) => void) => {
      own.push([event, listener])
      socket.on(event, listener)
    }
    step(
      on,
      value => {
        settle()
        resolve(value)
      },
      fail,
    )
  })
}
