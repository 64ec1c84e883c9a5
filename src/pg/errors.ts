// What can go wrong with PostgreSQL, as the rest of Postern asks about it: a stable `code` for our own failures, SQLSTATEs by name
// for those of the server. Both are found through `cause`, so a wrapped error still answers.

/**
 * - `pool_exhausted`: no connection became free in time, or too many callers wait already
 * - `pool_closed`: the program is ending
 * - `database_unavailable`: cannot be reached now, or the connection was lost; worth trying again
 * - `database_refused`: credentials, TLS, database name or settings are wrong; only an operator can help
 * - `statement_timeout`: the statement ran into its deadline; its connection was dropped
 * - `transaction_aborted`: COMMIT was asked for, but an earlier statement had failed, so nothing was written
 */
export type PgErrorCode =
  | 'pool_exhausted'
  | 'pool_closed'
  | 'database_unavailable'
  | 'database_refused'
  | 'statement_timeout'
  | 'transaction_aborted'

export class PgError extends Error {
  readonly code: PgErrorCode
  constructor(code: PgErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'PgError'
    this.code = code
  }
}

/** SQLSTATEs that code here decides by (PostgreSQL, Appendix A). */
export const sqlstates = {
  uniqueViolation: '23505',
  foreignKeyViolation: '23503',
  /** what PostgreSQL 18 says for `on delete restrict`; before, it was a foreign key violation */
  restrictViolation: '23001',
  checkViolation: '23514',
  notNullViolation: '23502',
  exclusionViolation: '23P01',
  serializationFailure: '40001',
  deadlockDetected: '40P01',
  lockNotAvailable: '55P03',
  queryCanceled: '57014',
  undefinedTable: '42P01',
  invalidSchemaName: '3F000',
  insufficientPrivilege: '42501',
  readOnlyTransaction: '25006',
  duplicateTable: '42P07',
  duplicateSchema: '42P06',
  invalidAuthorization: '28000',
  invalidPassword: '28P01',
  unknownDatabase: '3D000',
} as const

/** SQLSTATE of a server error, looked for along `cause`; undefined when the server said nothing. */
export function sqlstate(error: unknown): string | undefined {
  for (const at of causes(error)) {
    if ('severity' in at && 'code' in at && typeof at.code === 'string') return at.code
  }
  return undefined
}

/** Name of the violated constraint or unique index, when the server named one. */
export function constraintOf(error: unknown): string | undefined {
  for (const at of causes(error)) {
    if ('severity' in at && 'constraint' in at && typeof at.constraint === 'string') return at.constraint
  }
  return undefined
}

/** True when a unique index (the named one, if given) refused the row. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  return (
    sqlstate(error) === sqlstates.uniqueViolation &&
    (constraint === undefined || constraintOf(error) === constraint)
  )
}

/** True when a row that is referred to is missing, or one that is still referred to was to be deleted. */
export function isForeignKeyViolation(error: unknown, constraint?: string): boolean {
  const state = sqlstate(error)
  return (
    (state === sqlstates.foreignKeyViolation || state === sqlstates.restrictViolation) &&
    (constraint === undefined || constraintOf(error) === constraint)
  )
}

/** True when a lock was not granted within `lock_timeout`. */
export function isLockTimeout(error: unknown): boolean {
  return sqlstate(error) === sqlstates.lockNotAvailable
}

/** True when the same request may succeed a little later: answer 503 with Retry-After. */
export function isUnavailable(error: unknown): boolean {
  for (const at of causes(error)) {
    if (at instanceof PgError) return at.code !== 'database_refused' && at.code !== 'transaction_aborted'
  }
  return isConnectionLoss(error)
}

const lostStates = new Set(['57P01', '57P02', '57P03', '25006', '53300'])
const socketErrors = new Set([
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
])

/** True when the connection is of no more use: the server ends it, is read-only after a failover, or the socket is dead. */
export function isConnectionLoss(error: unknown): boolean {
  const state = sqlstate(error)
  if (state !== undefined) return lostStates.has(state) || state.startsWith('08')
  for (const at of causes(error)) {
    if ('code' in at && typeof at.code === 'string' && socketErrors.has(at.code)) return true
    if (/^Connection terminated|^Client has encountered a connection error|not queryable/.test(at.message)) {
      return true
    }
  }
  return false
}

function* causes(error: unknown): Generator<Error> {
  let at = error
  for (let depth = 0; depth < 6 && at instanceof Error; depth++) {
    yield at
    at = at.cause
  }
}
