// The bare pool: dialed connections, bounded waiting, deadlines kept by the client. Core puts Kysely on top (db.ts); a standalone
// outpost uses it as it is. Statements are unnamed and leave nothing behind in a session, so a transaction pooler may stand in front.
import { errorText, type Log } from '../log.ts'
import { type BadHosts, openConnection, type PgConnection } from './client.ts'
import { isConnectionLoss, PgError } from './errors.ts'
import { currentLane } from './lane.ts'
import { addStatement, createFigures, type PoolFigures } from './pool-figures.ts'
import { createMembers, type Member, type PoolState } from './pool-members.ts'
import { runTransaction } from './pool-transaction.ts'
import { runStatement } from './statement.ts'
import { describeHost, describeTarget, type PgTarget } from './target.ts'

export interface PgStatement {
  /** @param options.retry safe to run twice: tried once more on a new connection when the first is lost (lone statements only) */
  query<Row>(
    text: string,
    values?: unknown[],
    options?: StatementSettings,
  ): Promise<{ rows: Row[]; rowCount: number }>
}

export interface StatementSettings {
  deadlineMs?: number
  retry?: boolean
}

export interface PgPool extends PgStatement {
  /** BEGIN, `SET LOCAL` of the time-outs, `work`, COMMIT; a throw rolls back and is rethrown. */
  transaction<T>(work: (statement: PgStatement) => Promise<T>): Promise<T>
  close(): Promise<void>
}

export interface WatchedPool extends PgPool {
  state(): PoolState
  /** Since the pool was made; live objects, not copies. */
  readonly figures: PoolFigures
  /** Most connections at a time, now. */
  max(): number
  resize(max: number): void
}

export interface PoolOptions {
  /** Read anew for every connection. */
  target: () => PgTarget
  /** Most connections at a time. */
  max: number
  applicationName: string
  log: Log
  /** How many of so many connections are for `inLane('login', …)` alone. Default: none. */
  reservedForLogin?: (max: number) => number
  /** A statement that took longer is logged, without its values. Default 250; 0 = none. */
  slowMs?: number
  /** How long a caller waits for a connection. Default 5,000. */
  acquireTimeoutMs?: number
  /** How many callers may wait in each lane; the next is refused at once. Default 200. */
  maxWaiting?: number
  /** Default 15,000; 0 = none. Of a lone statement kept here, in transactions by the server as well. */
  statementTimeoutMs?: number
  /** In transactions. Default 5,000; 0 = none. */
  lockTimeoutMs?: number
  /** In transactions. Default 30,000; 0 = none. */
  idleInTransactionTimeoutMs?: number
  /** An idle connection is closed after this. Default 10,000. */
  idleTimeoutMs?: number
  /** A connection is not used again after this, ± 10 %. Default 1,800; 0 = for ever. */
  maxLifetimeSeconds?: number
}

/** A connection that was there ended under a statement. */
class ConnectionLost extends PgError {}

/** Longest wait for the server to take a cancel request, and for a statement the server should have ended itself. */
const graceMs = 1000
/** A host that ended a connection, or turned out to be read-only, is tried last for so long. */
const badForMs = 5000

/**
 * Creates a pool; no connection is opened before the first statement.
 * All failures of its own are `PgError`s with a stable `code`; errors of the server pass through unchanged unless they mean that
 * the connection is lost (`database_unavailable`).
 */
export function createPool(options: PoolOptions): WatchedPool {
  const { log, target } = options
  const slowMs = options.slowMs ?? 250
  const figures = createFigures()
  let max = options.max
  const acquireTimeoutMs = options.acquireTimeoutMs ?? 5000
  const statementTimeoutMs = options.statementTimeoutMs ?? 15_000
  const begin = beginText(options)
  const badHosts: BadHosts = new Map()
  let warned = false
  const members = createMembers({
    open,
    describe: () => describeTarget(target()),
    max,
    reserved: options.reservedForLogin ?? (() => 0),
    figures,
    acquireTimeoutMs,
    maxWaiting: options.maxWaiting ?? 200,
    idleTimeoutMs: options.idleTimeoutMs ?? 10_000,
    lifetimeMs: (options.maxLifetimeSeconds ?? 1800) * 1000,
  })

  async function open(): Promise<PgConnection> {
    const first = target()
    const connection = await connect(first).catch(error => {
      // A password may just have been replaced: look again, once.
      const again = target()
      if (!(error instanceof PgError && error.code === 'database_refused')) throw error
      if (JSON.stringify(again) === JSON.stringify(first)) throw error
      log.info('database credentials changed, connecting again', { target: describeTarget(again) })
      return connect(again)
    })
    figures.tls = connection.protocol
    if (connection.exposed && !warned) {
      warned = true
      const text = 'PostgreSQL is used in plain text over a network; set AUTHENTIK_POSTGRESQL__SSLMODE'
      log.warning(text, { target: describeTarget(first) })
    }
    return connection
  }

  function connect(to: PgTarget): Promise<PgConnection> {
    const connectTimeoutMs = Math.min(to.connectTimeoutMs, acquireTimeoutMs)
    return openConnection({ ...to, connectTimeoutMs }, { applicationName: options.applicationName, badHosts })
  }

  async function run<Row>(member: Member, text: string, values: unknown[] | undefined, deadlineMs: number) {
    const began = performance.now()
    try {
      return await runStatement<Row>(member.connection, text, values, deadlineMs, graceMs)
    } catch (error) {
      if (error instanceof PgError) member.dead = true
      if (!isConnectionLoss(error)) throw error
      // The server is going, or has changed its role: the idle connections are of no use either.
      member.dead = true
      members.dropIdle()
      figures.lost++
      badHosts.set(describeHost(member.connection.at), Date.now() + badForMs)
      const why = `the database connection was lost: ${errorText(error)}`
      throw new ConnectionLost('database_unavailable', why, { cause: error })
    } finally {
      const tookMs = performance.now() - began
      addStatement(figures, text, tookMs)
      if (slowMs > 0 && tookMs > slowMs)
        log.info('slow statement', { ms: Math.round(tookMs), statement: brief(text) })
    }
  }

  async function lone<Row>(text: string, values: unknown[] | undefined, deadlineMs: number) {
    const member = await members.acquire(currentLane())
    try {
      return await run<Row>(member, text, values, deadlineMs)
    } finally {
      members.release(member)
    }
  }

  return {
    async query<Row>(text: string, values?: unknown[], settings: StatementSettings = {}) {
      const deadlineMs = settings.deadlineMs ?? statementTimeoutMs
      try {
        return await lone<Row>(text, values, deadlineMs)
      } catch (error) {
        if (settings.retry !== true || !(error instanceof ConnectionLost)) throw error
        return await lone<Row>(text, values, deadlineMs)
      }
    },
    async transaction(work) {
      const member = await members.acquire(currentLane())
      const longestMs = statementTimeoutMs === 0 ? 0 : statementTimeoutMs + graceMs
      try {
        return await runTransaction(
          {
            begin,
            run: (text, values, deadlineMs = longestMs) => run(member, text, values, deadlineMs),
            needsRollback: () => !member.dead && member.connection.client.getTransactionStatus() !== 'I',
            giveUp: () => {
              member.dead = true
            },
          },
          work,
        )
      } finally {
        members.release(member)
      }
    },
    state: members.state,
    figures,
    max: () => max,
    resize(to) {
      max = to
      members.resize(to)
    },
    close: members.close,
  }
}

/** BEGIN and its time-outs as one simple query, so one round trip. */
function beginText(options: PoolOptions): string {
  const ms = (value: number) => Math.max(0, Math.round(value))
  return [
    'begin',
    `set local statement_timeout = ${ms(options.statementTimeoutMs ?? 15_000)}`,
    `set local lock_timeout = ${ms(options.lockTimeoutMs ?? 5000)}`,
    `set local idle_in_transaction_session_timeout = ${ms(options.idleInTransactionTimeoutMs ?? 30_000)}`,
  ].join('; ')
}

/** One line of a statement; its values are parameters and not in it. Of other commands, which may hold a value, only the first words. */
function brief(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim()
  if (/^(?:select|insert|update|delete|with|begin|commit)\b/i.test(line)) return line.slice(0, 300)
  return `${line.split(' ', 2).join(' ')} …`
}
