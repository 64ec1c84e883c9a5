// What SSLMODE means for the TLS library: libpq's meaning, not the driver's. Files are read here, at every connection.
import { readFile } from 'node:fs/promises'
import tls from 'node:tls'
import { PgError } from './errors.ts'
import type { PgTarget, SslMode } from './target.ts'

export interface TlsPlan {
  sslmode: SslMode
  options: tls.ConnectionOptions
}

/**
 * How to verify the server of `target`.
 * - without a root, `allow`, `prefer` and `require` encrypt without verification
 * - with a root, the same three verify the chain (libpq: require + root = verify-ca)
 * - `verify-ca` verifies the chain, `verify-full` the host name too; without a root file both use the system's roots
 * @throws PgError `database_refused` naming the setting whose file cannot be used
 */
export async function planTls(target: PgTarget): Promise<TlsPlan> {
  const { sslmode, sslrootcert } = target
  if (sslrootcert === 'system' && sslmode !== 'verify-full') {
    throw new PgError(
      'database_refused',
      `AUTHENTIK_POSTGRESQL__SSLROOTCERT=system needs AUTHENTIK_POSTGRESQL__SSLMODE=verify-full, not ${sslmode}: anybody can have a certificate of a public authority.`,
    )
  }
  const hasRoot = sslrootcert !== undefined && sslrootcert !== ''
  const verifies = hasRoot || sslmode === 'verify-ca' || sslmode === 'verify-full'
  return {
    sslmode,
    options: {
      minVersion: 'TLSv1.2',
      rejectUnauthorized: verifies,
      ...(verifies ? { ca: await roots(hasRoot ? sslrootcert : 'system') } : {}),
      ...(sslmode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
      ...(await clientCertificate(target)),
    },
  }
}

async function roots(path: string): Promise<string[]> {
  if (path === 'system') {
    const system = tls.getCACertificates('system')
    return system.length > 0 ? system : tls.getCACertificates('bundled')
  }
  const pem = await read(path, 'failed to read SSL root certificate', 'SSLROOTCERT')
  const blocks = pem.match(/-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]+-----END [A-Z0-9 ]+-----/g)
  try {
    if (blocks === null) throw new Error('no certificate in it')
    tls.createSecureContext({ ca: blocks })
    return blocks
  } catch (error) {
    throw refused(`failed to parse SSL root certificate ${path}`, 'SSLROOTCERT', error)
  }
}

async function clientCertificate(target: PgTarget): Promise<{ cert: string; key: string } | undefined> {
  const { sslcert, sslkey } = target
  if (sslcert === undefined || sslcert === '' || sslkey === undefined || sslkey === '') return undefined
  const cert = await read(sslcert, 'failed to load SSL client certificate', 'SSLCERT')
  const key = await read(sslkey, 'failed to load SSL client certificate key', 'SSLKEY')
  try {
    tls.createSecureContext({ cert, key })
  } catch (error) {
    throw refused(`failed to load SSL client certificate ${sslcert} with key ${sslkey}`, 'SSLCERT', error)
  }
  return { cert, key }
}

async function read(path: string, what: string, setting: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw refused(`${what} ${path}`, setting, error)
  }
}

function refused(what: string, setting: string, cause: unknown): PgError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new PgError('database_refused', `${what}: ${why}. Check AUTHENTIK_POSTGRESQL__${setting}.`, {
    cause,
  })
}

const chainErrors = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
])

/**
 * One line about a failed handshake.
 * @param place host and port
 * @returns `policy` when the server only speaks TLS older than 1.2, which no mode gets around
 */
export function tlsErrorLine(
  place: string,
  sslmode: SslMode,
  error: Error,
): { text: string; policy: boolean } {
  const code = 'code' in error ? String(error.code) : ''
  if (
    /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/.test(code) ||
    /protocol version|unsupported protocol/i.test(error.message)
  ) {
    const text = `PostgreSQL at ${place} offers no TLS version newer than 1.1. Upgrade the server's TLS library or enable TLS 1.3 (ssl_min_protocol_version). Nothing was sent.`
    return { text, policy: true }
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const text = `the certificate of PostgreSQL at ${place} is for another name: ${error.message}. Check AUTHENTIK_POSTGRESQL__HOST, or the certificate. Nothing was sent.`
    return { text, policy: false }
  }
  if (chainErrors.has(code)) {
    const text = `the certificate of PostgreSQL at ${place} is not signed by a root in AUTHENTIK_POSTGRESQL__SSLROOTCERT (${code}, sslmode ${sslmode}). Nothing was sent.`
    return { text, policy: false }
  }
  const why = code !== '' && !error.message.includes(code) ? `${error.message} (${code})` : error.message
  const text = `TLS with PostgreSQL at ${place} failed (sslmode ${sslmode}): ${why}. Check AUTHENTIK_POSTGRESQL__SSLMODE and the server's certificate.`
  return { text, policy: false }
}
