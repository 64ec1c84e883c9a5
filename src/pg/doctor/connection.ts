// How we get to the server: TLS, mode, pooler, clock.
import { TLSSocket } from 'node:tls'
import type { PgConnection } from '../client.ts'
import { keepsSessions, type PoolerKind, probePooler } from '../pooler.ts'
import { describeHost, type PgTarget, staysOnMachine } from '../target.ts'
import { error, type Finding, ok, warning } from './finding.ts'

/** Protocol of an open connection; TLS below 1.3 without Extended Master Secret never gets here. */
export function checkTls(connection: PgConnection, target: PgTarget): Finding[] {
  const at = describeHost(connection.at)
  const { stream } = (connection.client as unknown as { connection: { stream: unknown } }).connection
  if (stream instanceof TLSSocket) {
    const version = stream.getProtocol()?.replace('TLSv', 'TLS ') ?? 'TLS'
    const secret = version === 'TLS 1.3' ? '' : ' with Extended Master Secret'
    return [
      ok('tls', `${at}: ${version}${secret}, ${stream.getCipher().standardName}`),
      checkMode(target, at),
    ]
  }
  const local = staysOnMachine(connection.at.host)
  if (local) return [ok('tls', `${at}: no TLS, the connection stays on this machine`)]
  return [
    error(
      'tls',
      `${at}: no TLS, passwords and sessions cross a network in plain text (sslmode ${target.sslmode})`,
      'turn ssl on in the server and set AUTHENTIK_POSTGRESQL__SSLMODE=verify-full with AUTHENTIK_POSTGRESQL__SSLROOTCERT',
    ),
  ]
}

function checkMode(target: PgTarget, at: string): Finding {
  const { sslmode, sslrootcert } = target
  if (sslmode === 'verify-full') return ok('sslmode', `${at}: verify-full, certificate and name are verified`)
  const chain = sslmode === 'verify-ca' || sslrootcert !== undefined
  return warning(
    'sslmode',
    chain
      ? `${at}: ${sslmode}, any certificate of that authority is accepted, whatever its name`
      : `${at}: ${sslmode}, the server's certificate is not verified`,
    'set AUTHENTIK_POSTGRESQL__SSLROOTCERT and AUTHENTIK_POSTGRESQL__SSLMODE=verify-full',
  )
}

const poolerText: Record<PoolerKind, string> = {
  none: 'the database itself',
  session: 'a pooler in session mode',
  transaction: 'a pooler in transaction mode',
  statement: 'a pooler in statement mode',
  unclear: 'a pooler of unknown mode',
}

/**
 * @param same true when both lead to one endpoint
 * @param polls true when that is so on purpose, and messages are asked for
 */
export async function checkPoolers(
  main: PgTarget,
  direct: PgTarget,
  same: boolean,
  polls = false,
): Promise<Finding[]> {
  const verdict = await probePooler(main)
  const text = `main: ${poolerText[verdict.kind]} (${verdict.evidence})`
  const direction = 'set AUTHENTIK_POSTGRESQL__DIRECT__HOST to the database itself'
  if (verdict.kind === 'statement') return [error('pooler', text, 'set the pooler to transaction mode')]
  if (polls)
    return [
      keepsSessions(verdict)
        ? warning(
            'pooler',
            `${text}, and yet messages are asked for four times a second`,
            'set AUTHENTIK_POSTGRESQL__POOLER=auto',
          )
        : ok('pooler', `${text}; messages are asked for, four times a second`),
    ]
  if (same) return [keepsSessions(verdict) ? ok('pooler', text) : error('pooler', text, direction)]
  const behind = await probePooler(direct)
  const second = `direct: ${poolerText[behind.kind]} (${behind.evidence})`
  return [
    ok('pooler', text),
    keepsSessions(behind) ? ok('pooler', second) : error('pooler', second, direction),
  ]
}

const longestSkewMs = 2000

/** Clock of the server against ours, as far as one round trip can tell. */
export async function checkClock(connection: PgConnection): Promise<Finding[]> {
  const before = Date.now()
  const { rows } = await connection.client.query<{ ms: number }>(
    'select extract(epoch from clock_timestamp())::float8 * 1000 as ms',
  )
  const after = Date.now()
  const skew = (rows[0]?.ms ?? 0) - (before + after) / 2
  const seconds = `${(skew / 1000).toFixed(2)} s`
  if (Math.abs(skew) - (after - before) / 2 <= longestSkewMs)
    return [ok('clock', `differs from the database's by ${seconds}`)]
  return [
    error(
      'clock',
      `differs from the database's by ${seconds}; tokens and codes will seem expired or not yet valid`,
      'run NTP on both machines',
    ),
  ]
}
