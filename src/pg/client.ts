// One connection to PostgreSQL: host by host, way by way (SSLMODE), dialed by us and handed to the driver as a finished socket.
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import { Client } from 'pg'
import { type DialWay, dial, HandshakeFailed } from './dial.ts'
import { PgError, sqlstate } from './errors.ts'
import { loginError } from './login-error.ts'
import { hasRole } from './session-role.ts'
import {
  describeHost,
  type PgHost,
  type PgTarget,
  type SessionAttrs,
  type SslMode,
  staysOnMachine,
} from './target.ts'
import { planTls, type TlsPlan } from './tls-plan.ts'

export interface PgConnection {
  readonly client: Client
  readonly at: PgHost
  readonly encrypted: boolean
  /** `TLSv1.3`, `TLSv1.2`, or `none` */
  readonly protocol: string
  /** Parameters the server reported by itself. */
  readonly reported: ReadonlyMap<string, string>
  /** In plain text over a network although the mode would have liked TLS. */
  readonly exposed: boolean
  /** Asks the server to give up the running statement, by the protocol's cancel request over a second dialed socket; never throws. */
  cancel(timeoutMs: number): Promise<void>
  /** Ends the connection now; a running statement fails. */
  drop(): void
}

/** What we use of the driver beyond its typed surface. */
interface Inner {
  processID: number | null
  secretKey: number | null
  connection: {
    stream: Duplex
    on(
      event: 'parameterStatus',
      listener: (m: { parameterName: string; parameterValue: string }) => void,
    ): void
  }
  getStartupConf(): Record<string, string>
}

/** Hosts that failed lately, by `host:port`, and until when (ms since epoch) they are tried last. One per pool. */
export type BadHosts = Map<string, number>

const badForMs = 5000

/**
 * Opens and authenticates a connection.
 * @param options.applicationName shown in `pg_stat_activity`
 * @param options.badHosts remembered from attempt to attempt
 * @throws PgError `database_unavailable` or `database_refused`, one line naming the setting
 */
export async function openConnection(
  target: PgTarget,
  options: { applicationName: string; badHosts?: BadHosts },
): Promise<PgConnection> {
  const badHosts = options.badHosts ?? new Map()
  const until = Date.now() + target.connectTimeoutMs
  const passes =
    target.targetSessionAttrs === 'prefer-standby'
      ? (['standby', 'any'] as const)
      : [target.targetSessionAttrs ?? (target.hosts.length > 1 ? 'read-write' : 'any')]
  const errors: unknown[] = []
  for (const attrs of passes) {
    const hosts = byHealth(target.hosts, badHosts)
    for (const [i, at] of hosts.entries()) {
      const share = Math.max(200, (until - Date.now()) / (hosts.length - i))
      try {
        const connection = await openHost(target, at, options.applicationName, share)
        if (await suits(connection, attrs)) return connection
        const text = `PostgreSQL at ${describeHost(at)} is not "${attrs}" (target_session_attrs)`
        errors.push(new PgError('database_unavailable', text))
      } catch (error) {
        if (hosts.length === 1) throw error
        errors.push(error)
      }
      badHosts.set(describeHost(at), Date.now() + badForMs)
    }
  }
  if (errors.length === 1) throw errors[0]
  const text = errors.map(error => (error instanceof Error ? error.message : String(error))).join(' · ')
  const refused = errors.every(error => error instanceof PgError && error.code === 'database_refused')
  throw new PgError(
    refused ? 'database_refused' : 'database_unavailable',
    text || 'no PostgreSQL host is set (AUTHENTIK_POSTGRESQL__HOST)',
    {
      cause: errors[0],
    },
  )
}

async function suits(connection: PgConnection, attrs: SessionAttrs): Promise<boolean> {
  let right = false
  try {
    right = await hasRole(connection, attrs)
  } finally {
    if (!right) connection.drop()
  }
  return right
}

function byHealth(hosts: PgHost[], badHosts: BadHosts): PgHost[] {
  const isBad = (at: PgHost) => (badHosts.get(describeHost(at)) ?? 0) > Date.now()
  return [...hosts.filter(at => !isBad(at)), ...hosts.filter(isBad)]
}

/** Ways to try, in order. TLS is never spoken over a unix socket. */
function ways(at: PgHost, sslmode: SslMode): DialWay[] {
  if (at.host.startsWith('/')) return ['plain']
  if (sslmode === 'disable') return ['plain']
  if (sslmode === 'allow') return ['plain', 'tls']
  if (sslmode === 'prefer') return ['offer', 'plain']
  return ['tls']
}

async function openHost(
  target: PgTarget,
  at: PgHost,
  applicationName: string,
  timeoutMs: number,
): Promise<PgConnection> {
  const tries = ways(at, target.sslmode)
  if (target.sslnegotiation === 'direct' && tries[0] !== 'tls' && !at.host.startsWith('/')) {
    throw new PgError(
      'database_refused',
      `sslnegotiation=direct needs AUTHENTIK_POSTGRESQL__SSLMODE require or stronger, not ${target.sslmode}`,
    )
  }
  const timedOut = new PgError(
    'database_unavailable',
    `PostgreSQL at ${describeHost(at)} did not answer within ${Math.round(timeoutMs)} ms. Is a firewall in between, or is AUTHENTIK_POSTGRESQL__HOST wrong?`,
  )
  const abort = new AbortController()
  const timer = setTimeout(() => abort.abort(timedOut), timeoutMs)
  try {
    for (const [i, way] of tries.entries()) {
      try {
        return await openWay(target, at, way, applicationName, abort.signal)
      } catch (error) {
        // libpq tries the other way when the handshake failed or the server refused this way (pg_hba.conf).
        const other = error instanceof HandshakeFailed || sqlstate(error) === '28000'
        if (i === tries.length - 1 || !other) throw error
      }
    }
    throw timedOut
  } finally {
    clearTimeout(timer)
  }
}

async function openWay(
  target: PgTarget,
  at: PgHost,
  way: DialWay,
  applicationName: string,
  signal: AbortSignal,
): Promise<PgConnection> {
  const plan = way === 'plain' ? undefined : await planTls(target)
  const { socket, encrypted } = await dial(target, at, way, plan, signal)
  const client = new Client({
    user: target.user,
    database: target.database,
    password: () => target.password, // an empty text would be looked for in the environment
    host: 'dialed',
    port: at.port,
    ssl: false,
    stream: () => handedOver(socket),
    enableChannelBinding: true,
  })
  client.on('error', () => {}) // a connection that dies while in use must not end the process
  const inner = client as unknown as Inner
  const startup = { application_name: applicationName, ...target.parameters }
  inner.getStartupConf = () => ({ user: target.user, database: target.database, ...startup })
  const reported = new Map<string, string>()
  inner.connection.on('parameterStatus', m => reported.set(m.parameterName, m.parameterValue))
  try {
    await startUp(client, socket, signal)
  } catch (error) {
    socket.destroy()
    throw loginError(target, at, error)
  }
  return {
    client,
    at,
    encrypted,
    protocol: socket instanceof TLSSocket ? (socket.getProtocol() ?? 'none') : 'none',
    reported,
    exposed:
      !encrypted && !staysOnMachine(at.host) && (target.sslmode === 'prefer' || target.sslmode === 'allow'),
    cancel: timeoutMs => cancel(target, at, encrypted ? 'tls' : 'plain', plan, inner, timeoutMs),
    drop: () => {
      socket.destroy()
      client.end().catch(() => {})
    },
  }
}

/** A connected socket in the form the driver expects: its `connect` only says so. */
function handedOver(socket: Duplex): Duplex {
  const stream = socket as Duplex & { connect: () => Duplex }
  stream.connect = () => {
    process.nextTick(() => stream.emit('connect'))
    return stream
  }
  stream.resume()
  return stream
}

async function startUp(client: Client, socket: Duplex, signal: AbortSignal): Promise<void> {
  let onAbort = () => {}
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => {
      socket.destroy()
      reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
  })
  try {
    await Promise.race([client.connect(), aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
    aborted.catch(() => {})
  }
}

async function cancel(
  target: PgTarget,
  at: PgHost,
  way: DialWay,
  plan: TlsPlan | undefined,
  inner: Inner,
  timeoutMs: number,
): Promise<void> {
  if (inner.processID === null || inner.secretKey === null) return
  const request = Buffer.alloc(16)
  request.writeInt32BE(16, 0)
  request.writeInt32BE(80877102, 4)
  request.writeInt32BE(inner.processID, 8)
  request.writeInt32BE(inner.secretKey, 12)
  const signal = AbortSignal.timeout(timeoutMs)
  try {
    const { socket } = await dial(target, at, way, plan, signal)
    await new Promise<void>(resolve => {
      signal.addEventListener('abort', () => socket.destroy(), { once: true })
      socket.once('close', () => resolve())
      socket.resume()
      socket.write(request) // the other side closes; a pooler drops the request of a client that hangs up first
    })
  } catch {
    // Then the connection is dropped without it, and the server ends the statement at its own time-out.
  }
}
