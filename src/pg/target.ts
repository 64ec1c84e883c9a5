// Where a PostgreSQL is and how to get in, as plain values. A pool is given a function that returns one, so that files and
// variables behind the settings are read anew for every connection (credential rotation).

export const sslModes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
export type SslMode = (typeof sslModes)[number]

export const sessionAttrs = [
  'any',
  'read-write',
  'read-only',
  'primary',
  'standby',
  'prefer-standby',
] as const
export type SessionAttrs = (typeof sessionAttrs)[number]

export interface PgHost {
  /** Name, address, or the directory of a unix socket when it starts with `/`. */
  host: string
  port: number
}

export interface PgTarget {
  /** Tried in order. */
  hosts: PgHost[]
  user: string
  /** May be empty (client certificate, trust, peer). */
  password: string
  database: string
  sslmode: SslMode
  /** Path of a PEM file with root certificates, or `system`. Read at every connection. */
  sslrootcert?: string
  /** Paths of client certificate and key; used only when both are there. */
  sslcert?: string
  sslkey?: string
  /** `direct`: TLS from the first byte (PostgreSQL 17 and newer). */
  sslnegotiation?: 'postgres' | 'direct'
  /** For the whole list of hosts; each gets an equal share of what is left. */
  connectTimeoutMs: number
  /** Default: `any` of a single host, `read-write` among several, since after a failover one of them is a standby. */
  targetSessionAttrs?: SessionAttrs
  /** Run-time parameters of the startup message, e.g. `options`; `application_name` here wins over the pool's. */
  parameters?: Record<string, string>
}

/** True when connections to this host stay on the machine: unix socket or loopback address. */
export function staysOnMachine(host: string): boolean {
  return host.startsWith('/') || host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** `host:port`, or the path of the socket. */
export function describeHost(at: PgHost): string {
  if (at.host.startsWith('/')) return `${at.host}/.s.PGSQL.${at.port}`
  return at.host.includes(':') ? `[${at.host}]:${at.port}` : `${at.host}:${at.port}`
}

/** One line for errors and logs: place, database, user, mode; never the password. */
export function describeTarget(target: PgTarget): string {
  const hosts = target.hosts.map(describeHost).join(',')
  return `${target.user}@${hosts}/${target.database} (sslmode=${target.sslmode})`
}

/** True when both lead to one database by one way: whatever stands in front of one stands in front of the other. */
export function samePlace(a: PgTarget, b: PgTarget): boolean {
  return JSON.stringify([a.hosts, a.database]) === JSON.stringify([b.hosts, b.database])
}
