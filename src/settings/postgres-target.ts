// The settings of PostgreSQL as one plain object, in the shape src/pg takes.
import type { ConnectionOptions } from './connection-options.ts'
import { SettingsError } from './errors.ts'

/** The same shape as `PgTarget` of src/pg, which this room does not import. */
export interface PostgresTarget extends ConnectionOptions {
  hosts: { host: string; port: number }[]
  user: string
  password: string
  database: string
  sslmode: SslMode
  sslrootcert?: string
  sslcert?: string
  sslkey?: string
  connectTimeoutMs: number
}

export type SslMode = 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full'

/** The values of one set of keys, main or direct. */
export interface PostgresParts {
  host: string
  ports: number[]
  user: string
  password: string
  database: string
  sslmode: SslMode | ''
  sslrootcert: string
  sslcert: string
  sslkey: string
  options: ConnectionOptions
}

const defaultConnectTimeoutMs = 5000

/**
 * @param prefix of the variables, for the message: `AUTHENTIK_POSTGRESQL__` or `AUTHENTIK_POSTGRESQL__DIRECT__`
 * @throws SettingsError when hosts and ports, or certificate and key, do not go together
 */
export function buildTarget(parts: PostgresParts, prefix: string): PostgresTarget {
  const { ports, sslrootcert, sslcert, sslkey } = parts
  const hosts = parts.host.split(',').map(host => host.trim())
  if (hosts.some(host => host === ''))
    throw new SettingsError([`${prefix}HOST holds an empty name in its list`])
  if (ports.length !== 1 && ports.length !== hosts.length)
    throw new SettingsError([
      `${prefix}PORT has ${ports.length} ports for ${hosts.length} hosts of ${prefix}HOST: give one port, or one for each host`,
    ])
  if ((sslcert === '') !== (sslkey === ''))
    throw new SettingsError([`${prefix}SSLCERT and ${prefix}SSLKEY belong together: set both or none`])
  return {
    hosts: hosts.map((host, at) => ({ host, port: ports[at] ?? ports[0] ?? 5432 })),
    user: parts.user,
    password: parts.password,
    database: parts.database,
    sslmode: parts.sslmode === '' ? (sslrootcert === '' ? 'prefer' : 'verify-full') : parts.sslmode,
    ...(sslrootcert === '' ? {} : { sslrootcert }),
    ...(sslcert === '' ? {} : { sslcert, sslkey }),
    connectTimeoutMs: defaultConnectTimeoutMs,
    ...parts.options,
  }
}
