// The pool as the rest of Postern sees it: one statement = one function of a `*.sql.ts` file, run through `Queryable`.
import type { Kysely, RawBuilder } from 'kysely'

export { sql } from 'kysely'

/**
 * Every name of our schema, qualified and quoted, for use inside an `sql` template:
 * ``sql`select * from ${db.t('users')}` `` gives `select * from "public"."users"`.
 */
export type Qualify = (name: string) => RawBuilder<unknown>

/** Something statements run on: the pool or a transaction. */
export interface Queryable {
  readonly t: Qualify
  /** Rows of one statement. A lone statement is one round trip, its deadline kept by the client (cancel, then drop). */
  rows<T>(statement: RawBuilder<T>): Promise<T[]>
  /** First row, or undefined. */
  first<T>(statement: RawBuilder<T>): Promise<T | undefined>
  /** Number of rows a write touched. */
  count(statement: RawBuilder<unknown>): Promise<number>
}

/** A transaction. What must happen only once it is committed is handed to `afterCommit`. */
export interface Tx extends Queryable {
  /** Runs after commit, in order, outside the transaction; errors are logged, never thrown to the caller. */
  afterCommit(action: () => void | Promise<void>): void
  /** The transaction itself, for the query builder and for packages that take one (pg-boss). */
  readonly kysely: Kysely<unknown>
}

export interface Db extends Queryable {
  /** Name of our schema, unquoted. */
  readonly schema: string
  /** For the query builder in filterable lists: `db.kysely.withSchema(db.schema)`. */
  readonly kysely: Kysely<unknown>
  /** BEGIN, `SET LOCAL` of the time-outs, `work`, COMMIT; any throw rolls back and is rethrown. */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /** Resolves when a trivial statement was answered within `timeoutMs`; rejects with the cause otherwise. */
  ping(timeoutMs?: number): Promise<void>
  close(): Promise<void>
}
