// Why a server did not let us in, as one line that names the setting to look at.
import { PgError, sqlstate } from './errors.ts'
import { describeHost, type PgHost, type PgTarget } from './target.ts'

/** @param error what the driver threw between the startup message and the first "ready" */
export function loginError(target: PgTarget, at: PgHost, error: unknown): Error {
  if (error instanceof PgError) return error
  const place = `PostgreSQL at ${describeHost(at)}`
  const why = error instanceof Error ? error.message : String(error)
  const state = sqlstate(error)
  const refused = (text: string) => new PgError('database_refused', text, { cause: error })
  if (state === '28P01') {
    return refused(
      `${place} refused the password of user "${target.user}". Check AUTHENTIK_POSTGRESQL__USER and AUTHENTIK_POSTGRESQL__PASSWORD.`,
    )
  }
  if (/client password must be a (non-empty )?string/.test(why)) {
    return refused(
      `${place} asks for a password of user "${target.user}", but none is set. Set AUTHENTIK_POSTGRESQL__PASSWORD.`,
    )
  }
  if (state === '28000') {
    return refused(
      `${place} refused user "${target.user}": ${why}. Check AUTHENTIK_POSTGRESQL__USER, AUTHENTIK_POSTGRESQL__SSLMODE and the server's pg_hba.conf.`,
    )
  }
  if (state === '3D000') {
    return refused(`${place}: ${why}. Create it, or check AUTHENTIK_POSTGRESQL__NAME.`)
  }
  if (state === '42501') {
    return refused(`${place}: ${why}. Grant CONNECT on database "${target.database}" to "${target.user}".`)
  }
  if (state === '53300')
    return new PgError('database_unavailable', `${place} has no free connection: ${why}`, { cause: error })
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  // In TLS 1.3 the server's word on our certificate comes after the handshake.
  if (code.startsWith('ERR_SSL_')) {
    return refused(
      `${place} ended TLS: ${why}. Check AUTHENTIK_POSTGRESQL__SSLCERT and AUTHENTIK_POSTGRESQL__SSLKEY.`,
    )
  }
  if (state?.startsWith('57P') || state === undefined) {
    return new PgError('database_unavailable', `cannot use ${place}: ${why}`, { cause: error })
  }
  return refused(
    `${place} refused the connection (SQLSTATE ${state}): ${why}. Check AUTHENTIK_POSTGRESQL__CONN_OPTIONS.`,
  )
}
