// Whether a server has the role that was asked for (libpq's target_session_attrs).
import type { PgConnection } from './client.ts'
import { runStatement } from './statement.ts'
import type { SessionAttrs } from './target.ts'

const deadlineMs = 2000

/**
 * Compares role and writability. The server reports both by itself (PostgreSQL 14 and newer); a pooler may not pass that on, and
 * then it is asked.
 */
export async function hasRole(connection: PgConnection, wanted: SessionAttrs): Promise<boolean> {
  if (wanted === 'any') return true
  let standby = connection.reported.get('in_hot_standby')
  let readOnly = connection.reported.get('default_transaction_read_only')
  if (standby === undefined || readOnly === undefined) {
    const { rows } = await runStatement<{ standby: boolean; read_only: string }>(
      connection,
      "select pg_is_in_recovery() as standby, current_setting('default_transaction_read_only') as read_only",
      undefined,
      deadlineMs,
      deadlineMs,
    )
    standby = rows[0]?.standby === true ? 'on' : 'off'
    readOnly = rows[0]?.read_only ?? 'off'
  }
  if (wanted === 'primary') return standby === 'off'
  if (wanted === 'standby' || wanted === 'prefer-standby') return standby === 'on'
  const writable = standby === 'off' && readOnly === 'off'
  return wanted === 'read-write' ? writable : !writable
}
