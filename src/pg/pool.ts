// The bare pool: dialed connections, bounded waiting, deadlines kept by the client. Core puts Kysely on top (db.ts); a standalone
// outpost uses it as it is.

export interface PgStatement {
  query<Row>(text: string, values?: unknown[], options?: { deadlineMs?: number }): Promise<{ rows: Row[]; rowCount: number }>
}

export interface PgPool extends PgStatement {
  /** BEGIN, `SET LOCAL` of the time-outs, `work`, COMMIT; a throw rolls back and is rethrown. */
  transaction<T>(work: (statement: PgStatement) => Promise<T>): Promise<T>
  close(): Promise<void>
}
