// The pool as the rest of Postern sees it: one statement = one function of a `*.sql.ts` file, run through `Queryable`.
import { Kysely, type RawBuilder, sql } from 'kysely'
import { errorText, type Log } from '../log.ts'
import { PgError } from './errors.ts'
import { statementDialect } from './kysely-dialect.ts'
import type { PgPool, PgStatement } from './pool.ts'
import type { Replicas } from './replicas.ts'

export { sql } from 'kysely'

/**
 * Every name of our schema, qualified and quoted, for use inside an `sql` template:
 * ``sql`select * from ${db.t('users')}` `` gives `select * from "public"."users"`.
 */
export type Qualify = (name: string) => RawBuilder<unknown>

/** Something statements run on: the pool or a transaction. */
export interface Queryable {
  readonly t: Qualify
  /**
   * Rows of one statement. A lone statement is one round trip, its deadline kept by the client (cancel, then drop).
   * @param options.retry safe to run twice: tried once more on a new connection when the first is lost (not in transactions)
   */
  rows<T>(statement: RawBuilder<T>, options?: StatementOptions): Promise<T[]>
  /** First row, or undefined. */
  first<T>(statement: RawBuilder<T>, options?: StatementOptions): Promise<T | undefined>
  /** Number of rows a write touched. */
  count(statement: RawBuilder<unknown>): Promise<number>
}

export interface StatementOptions {
  retry?: boolean
  deadlineMs?: number
}

/** A transaction. What must happen only once it is committed is handed to `afterCommit`. */
export interface Tx extends Queryable {
  /** Name of our schema, unquoted. */
  readonly schema: string
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
  /**
   * For lists, exports and reports: reads from a standby that shows everything this process has written, else from the primary.
   * Never for sessions, tokens, codes, limits, locks, tasks, cache or messages.
   * @param after everything up to this position instead, e.g. of the last write of who asks, through whichever process
   */
  replica(after?: string): Pick<Queryable, 't' | 'rows' | 'first'>
  /** True when there are standbys, so that it is of use to remember positions. */
  hasReplicas(): boolean
  /** Position of everything written so far, to be handed to `replica` elsewhere; one statement. */
  position(): Promise<string>
  close(): Promise<void>
}

/**
 * Puts Kysely and the names of our schema on a pool. Closing it closes the pool.
 * @param options.schema the schema all our tables are in, unquoted
 * @param options.replicas standbys for `replica`; without them it reads from the primary
 */
export function createDb(options: { pool: PgPool; schema: string; log: Log; replicas?: Replicas }): Db {
  const { schema, log, replicas } = options
  const pool = replicas === undefined ? options.pool : noted(options.pool, replicas)
  const t: Qualify = name => sql.id(schema, name)
  const kysely = kyselyOn(pool)
  return {
    schema,
    kysely,
    ...queryable(pool, kysely, t),
    async transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
      const afterwards: (() => void | Promise<void>)[] = []
      const result = await pool.transaction(statement => {
        let own: Kysely<unknown> | undefined
        return work({
          schema,
          ...queryable(statement, kysely, t),
          afterCommit: action => {
            afterwards.push(action)
          },
          get kysely() {
            own ??= kyselyOn(statement)
            return own
          },
        })
      })
      for (const action of afterwards) await afterCommit(action, log)
      return result
    },
    async ping(timeoutMs = 2000) {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<never>((_, reject) => {
        const error = new PgError(
          'database_unavailable',
          `the database did not answer within ${timeoutMs} ms`,
        )
        timer = setTimeout(() => reject(error), timeoutMs)
      })
      try {
        await Promise.race([pool.query('select 1', undefined, { deadlineMs: timeoutMs }), late])
      } finally {
        clearTimeout(timer)
      }
    },
    replica: after => queryable(replicas?.reader(after) ?? pool, kysely, t),
    hasReplicas: () => replicas !== undefined && replicas.state().length > 0,
    async position() {
      const { rows } = await pool.query<{ position: string }>(
        'select pg_current_wal_insert_lsn() as position',
      )
      return rows[0]?.position ?? '0/0'
    },
    close: () => pool.close(),
  }
}

/** Tells the standbys' chooser of every commit; what cannot be seen to be a plain read counts as one. */
function noted(pool: PgPool, replicas: Replicas): PgPool {
  return {
    async query(text, values, settings) {
      try {
        return await pool.query(text, values, settings)
      } finally {
        if (!isRead(text)) replicas.wrote()
      }
    },
    async transaction(work) {
      try {
        return await pool.transaction(work)
      } finally {
        replicas.wrote()
      }
    },
    close: () => pool.close(),
  }
}

/** A query, with or without named parts, none of which changes rows. */
function isRead(text: string): boolean {
  return /^\s*(?:select|with)\b/i.test(text) && !/\b(?:insert|update|delete|merge)\s/i.test(text)
}

function kyselyOn(statement: PgStatement): Kysely<unknown> {
  return new Kysely({ dialect: statementDialect(statement) })
}

/** `compiler` only turns templates into text and parameters; `statement` runs them. */
function queryable(statement: Pick<PgStatement, 'query'>, compiler: Kysely<unknown>, t: Qualify): Queryable {
  const run = <T>(template: RawBuilder<T>, options?: StatementOptions) => {
    const { sql: text, parameters } = template.compile(compiler)
    return statement.query<T>(text, [...parameters], options)
  }
  return {
    t,
    rows: async (template, options) => (await run(template, options)).rows,
    first: async (template, options) => (await run(template, options)).rows[0],
    count: async template => (await run(template)).rowCount,
  }
}

async function afterCommit(action: () => void | Promise<void>, log: Log): Promise<void> {
  try {
    await action()
  } catch (error) {
    log.error('action after commit failed', { error: errorText(error) })
  }
}
