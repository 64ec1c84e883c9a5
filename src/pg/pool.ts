// The bare pool: dialed connections, bounded waiting, deadlines kept by the client. Core puts Kysely on top (db.ts); a standalone
// outpost uses it as it is. Statements are unnamed and leave nothing behind in a session, so a transaction pooler may stand in front.
import { errorText, type Log } from '../log.ts'
import { type BadHosts, openConnection, type PgConnection } from './client.ts'
import { isConnectionLoss, PgError } from './errors.ts'
import { runStatement } from './statement.ts'
import { describeTarget, type PgTarget } from './target.ts'

export interface PgStatement {
  /** @param options.retry safe to run twice: tried once more on a new connection when the first is lost (lone statements only) */
  query<Row>(
    text: string,
    values?: unknown[],
    options?: { deadlineMs?: number; retry?: boolean },
  ): Promise<{ rows: Row[]; rowCount: number }>
}

export interface PgPool extends PgStatement {
  /** BEGIN, `SET LOCAL` of the time-outs, `work`, COMMIT; a throw rolls back and is rethrown. */
  transaction<T>(work: (statement: PgStatement) => Promise<T>): Promise<T>
  close(): Promise<void>
}

export interface PoolState {
  /** connections that are open or being opened */
  open: number
  idle: number
  waiting: number
}

export interface PoolOptions {
  /** Read anew for every connection. */
  target: () => PgTarget
  /** Most connections at a time. */
  max: number
  applicationName: string
  log: Log
  /** How long a caller waits for a connection. Default 5,000. */
  acquireTimeoutMs?: number
  /** How many callers may wait; the next is refused at once. Default 200. */
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

interface Member {
  connection: PgConnection
  /** ms since epoch after which it is closed instead of reused */
  retireAt: number
  idleTimer: NodeJS.Timeout | undefined
  dead: boolean
}

interface Waiter {
  resolve(member: Member): void
  reject(error: Error): void
}

/** Longest wait for the server to take a cancel request, and for a statement the server should have ended itself. */
const graceMs = 1000

/**
 * Creates a pool; no connection is opened before the first statement.
 * All failures of its own are `PgError`s with a stable `code`; errors of the server pass through unchanged unless they mean that
 * the connection is lost (`database_unavailable`).
 */
export function createPool(options: PoolOptions): PgPool & { state(): PoolState } {
  const { log, max, target } = options
  const acquireTimeoutMs = options.acquireTimeoutMs ?? 5000
  const maxWaiting = options.maxWaiting ?? 200
  const statementTimeoutMs = options.statementTimeoutMs ?? 15_000
  const idleTimeoutMs = options.idleTimeoutMs ?? 10_000
  const lifetimeMs = (options.maxLifetimeSeconds ?? 1800) * 1000
  const begin = beginText(options)
  const badHosts: BadHosts = new Map()
  const idle: Member[] = []
  const members = new Set<Member>()
  const waiters = new Set<Waiter>()
  let opening = 0
  let closed = false
  let onEmpty = () => {}
  let warned = false
  let lastFailure: unknown

  function acquire(): Promise<Member> {
    if (closed) return Promise.reject(new PgError('pool_closed', 'the database pool is closed'))
    for (let member = idle.pop(); member !== undefined; member = idle.pop()) {
      clearTimeout(member.idleTimer)
      if (!member.dead && member.retireAt > Date.now()) return Promise.resolve(member)
      drop(member)
    }
    if (waiters.size >= maxWaiting) {
      const text = `${waiters.size} callers already wait for one of ${max} database connections`
      return Promise.reject(new PgError('pool_exhausted', text))
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiters.delete(waiter)
        reject(outOfTime())
      }, acquireTimeoutMs)
      const waiter: Waiter = {
        resolve: member => {
          clearTimeout(timer)
          resolve(member)
        },
        reject: error => {
          clearTimeout(timer)
          reject(error)
        },
      }
      waiters.add(waiter)
      openMore()
    })
  }

  function outOfTime(): PgError {
    if (members.size > 0) {
      const text = `no database connection became free within ${acquireTimeoutMs} ms (${max} at most, ${waiters.size} more waiting)`
      return new PgError('pool_exhausted', text, { cause: lastFailure })
    }
    const text = `no connection to ${describeTarget(target())} within ${acquireTimeoutMs} ms`
    return new PgError('database_unavailable', text, { cause: lastFailure })
  }

  function openMore(): void {
    while (!closed && opening < waiters.size && members.size + opening < max) {
      opening++
      open().then(
        member => {
          opening--
          lastFailure = undefined
          members.add(member)
          member.connection.client.once('end', () => forget(member))
          release(member)
        },
        error => {
          opening--
          lastFailure = error
          failWaiters(error)
          if (closed && members.size + opening === 0) onEmpty()
        },
      )
    }
  }

  /** With a connection alive somewhere the waiting go on waiting for it; else they learn at once why there is none. */
  function failWaiters(error: unknown): void {
    if (members.size > 0 || opening > 0) return
    const failed = [...waiters]
    waiters.clear()
    for (const waiter of failed) waiter.reject(error as Error)
  }

  async function open(): Promise<Member> {
    const first = target()
    const connection = await connect(first).catch(error => {
      // A password may just have been replaced: look again, once.
      const again = target()
      if (!(error instanceof PgError && error.code === 'database_refused')) throw error
      if (JSON.stringify(again) === JSON.stringify(first)) throw error
      log.info('database credentials changed, connecting again', { target: describeTarget(again) })
      return connect(again)
    })
    if (connection.exposed && !warned) {
      warned = true
      log.warning('PostgreSQL is used in plain text over a network; set AUTHENTIK_POSTGRESQL__SSLMODE', {
        target: describeTarget(first),
      })
    }
    const retireAt =
      lifetimeMs === 0 ? Number.POSITIVE_INFINITY : Date.now() + lifetimeMs * (0.9 + Math.random() * 0.2)
    return { connection, retireAt, idleTimer: undefined, dead: false }
  }

  function connect(to: PgTarget): Promise<PgConnection> {
    const connectTimeoutMs = Math.min(to.connectTimeoutMs, acquireTimeoutMs)
    return openConnection({ ...to, connectTimeoutMs }, { applicationName: options.applicationName, badHosts })
  }

  function release(member: Member): void {
    const clean = member.connection.client.getTransactionStatus() === 'I'
    if (closed || member.dead || !clean || member.retireAt <= Date.now()) {
      drop(member)
      return
    }
    const [next] = waiters
    if (next !== undefined) {
      waiters.delete(next)
      next.resolve(member)
      return
    }
    member.idleTimer = setTimeout(() => drop(member), idleTimeoutMs)
    idle.push(member)
  }

  function drop(member: Member): void {
    const broken = member.dead
    member.dead = true
    if (broken) member.connection.drop()
    else member.connection.client.end().catch(() => {})
    forget(member)
  }

  function forget(member: Member): void {
    member.dead = true
    clearTimeout(member.idleTimer)
    const at = idle.indexOf(member)
    if (at >= 0) idle.splice(at, 1)
    if (!members.delete(member)) return
    if (closed && members.size + opening === 0) onEmpty()
    openMore()
  }

  /** What is left of a server that went away: the idle ones are of no use either. */
  function lost(error: unknown): PgError {
    for (const member of [...idle]) {
      member.dead = true
      drop(member)
    }
    return new PgError('database_unavailable', `the database connection was lost: ${errorText(error)}`, {
      cause: error,
    })
  }

  async function run<Row>(member: Member, text: string, values: unknown[] | undefined, deadlineMs: number) {
    try {
      return await runStatement<Row>(member.connection, text, values, deadlineMs, graceMs)
    } catch (error) {
      if (error instanceof PgError) member.dead = true
      else if (isConnectionLoss(error)) {
        member.dead = true
        throw lost(error)
      }
      throw error
    }
  }

  async function lone<Row>(text: string, values: unknown[] | undefined, deadlineMs: number) {
    const member = await acquire()
    try {
      return await run<Row>(member, text, values, deadlineMs)
    } finally {
      release(member)
    }
  }

  return {
    async query<Row>(
      text: string,
      values?: unknown[],
      settings: { deadlineMs?: number; retry?: boolean } = {},
    ) {
      const deadlineMs = settings.deadlineMs ?? statementTimeoutMs
      try {
        return await lone<Row>(text, values, deadlineMs)
      } catch (error) {
        const isLost = error instanceof PgError && error.code === 'database_unavailable'
        if (settings.retry !== true || !isLost) throw error
        return await lone<Row>(text, values, deadlineMs)
      }
    },
    async transaction<T>(work: (statement: PgStatement) => Promise<T>): Promise<T> {
      const member = await acquire()
      try {
        return await runTransaction(member, work)
      } finally {
        release(member)
      }
    },
    state: () => ({ open: members.size + opening, idle: idle.length, waiting: waiters.size }),
    async close() {
      if (closed) return
      closed = true
      for (const waiter of waiters) waiter.reject(new PgError('pool_closed', 'the database pool is closed'))
      waiters.clear()
      const empty = new Promise<void>(resolve => {
        onEmpty = resolve
      })
      const ends = [...members].map(
        member => new Promise(resolve => member.connection.client.once('end', resolve)),
      )
      for (const member of [...idle]) drop(member)
      if (members.size + opening > 0) await empty
      await Promise.all(ends)
    },
  }

  async function runTransaction<T>(member: Member, work: (statement: PgStatement) => Promise<T>): Promise<T> {
    const longest = statementTimeoutMs === 0 ? 0 : statementTimeoutMs + graceMs
    let over = false
    let last: Promise<unknown> = Promise.resolve()
    const statement: PgStatement = {
      async query<Row>(text: string, values?: unknown[], settings: { deadlineMs?: number } = {}) {
        if (over)
          throw new PgError('transaction_aborted', 'a statement was sent after the end of its transaction')
        // One after the other, also when the caller starts several at once.
        const next = last.then(() => run<Row>(member, text, values, settings.deadlineMs ?? longest))
        last = next.catch(() => {})
        return await next
      },
    }
    try {
      await run(member, begin, undefined, longest)
      const result = await work(statement)
      over = true
      await last
      await commit(member, longest)
      return result
    } catch (error) {
      over = true
      await last
      if (!member.dead && member.connection.client.getTransactionStatus() !== 'I') {
        await run(member, 'rollback', undefined, graceMs).catch(() => {
          member.dead = true
        })
      }
      throw error
    }
  }

  async function commit(member: Member, deadlineMs: number): Promise<void> {
    const { command } = await run(member, 'commit', undefined, deadlineMs)
    // COMMIT of a failed transaction is answered by ROLLBACK, without an error.
    if (command !== 'COMMIT') {
      throw new PgError(
        'transaction_aborted',
        'the transaction was rolled back, because one of its statements had failed',
      )
    }
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
