// The one direct connection of a process: the only one that keeps state in its session (LISTEN), so it must reach the database
// itself and not a transaction pooler. It is autocommit and idle, since a listener inside a transaction holds up everybody's
// notifications; when it is lost it comes back by itself.
import { errorText, type Log } from '../log.ts'
import { openConnection, type PgConnection } from './client.ts'
import { isConnectionLoss, PgError } from './errors.ts'
import { quoteName } from './migrations.ts'
import { runStatement, type StatementResult } from './statement.ts'
import { describeTarget, type PgTarget } from './target.ts'

export interface Direct {
  /** Set where there is no direct connection and messages are asked for (polling.ts). */
  readonly polls?: true
  /** Listens on a channel from now on, over reconnects. One handler per channel. */
  listen(channel: string, handle: (payload: string) => void): Promise<void>
  /** Called each time the connection is up with all its LISTENs in place, first for the current one if it is up. */
  onUp(handle: () => void): () => void
  /** One autocommit statement. @throws PgError `database_unavailable` while the connection is down */
  query<Row>(text: string, values?: unknown[]): Promise<{ rows: Row[]; rowCount: number }>
  isUp(): boolean
  /** Drops the connection and makes a new one, e.g. when it has turned out to be deaf. */
  reconnect(reason: string): void
  close(): Promise<void>
}

const shortestPauseMs = 100
/** Together with its spread it stays below four seconds: nobody is deaf for five after the server has come back. */
const longestPauseMs = 3000

/**
 * Starts connecting; resolves at once. The first failures are logged like later ones, so a program that must not run without
 * the connection awaits `ready`.
 * @param options.deadlineMs of each statement; a connection that misses it is dropped. Default 5,000
 */
export function createDirect(options: {
  target: () => PgTarget
  applicationName: string
  log: Log
  deadlineMs?: number
}): Direct & { ready: Promise<void> } {
  const { log, target, applicationName } = options
  const deadlineMs = options.deadlineMs ?? 5000
  const channels = new Map<string, (payload: string) => void>()
  const upHandlers = new Set<() => void>()
  let current: PgConnection | undefined
  let closed = false
  let pause = shortestPauseMs
  let timer: NodeJS.Timeout | undefined
  let connecting: Promise<void> | undefined
  let last: Promise<unknown> = Promise.resolve()
  const ready = Promise.withResolvers<void>()

  function start(): void {
    connecting = connect().then(
      () => {
        connecting = undefined
        pause = shortestPauseMs
        ready.resolve()
        for (const handle of upHandlers) handle()
      },
      error => {
        connecting = undefined
        if (closed) return
        log.warning('direct database connection failed', {
          error: errorText(error),
          retry_ms: Math.round(pause),
        })
        retry()
      },
    )
  }

  function retry(): void {
    if (closed || timer !== undefined) return
    timer = setTimeout(
      () => {
        timer = undefined
        start()
      },
      pause * (0.75 + Math.random() / 2),
    )
    pause = Math.min(longestPauseMs, pause * 2)
  }

  async function connect(): Promise<void> {
    const connection = await openConnection(target(), { applicationName })
    const { client } = connection
    client.on('notification', message => channels.get(message.channel)?.(message.payload ?? ''))
    client.once('end', () => {
      if (current === connection) lost('connection closed')
    })
    try {
      for (const channel of channels.keys()) await listenOn(connection, channel)
    } catch (error) {
      connection.drop()
      throw error
    }
    if (closed) {
      connection.drop()
      throw new PgError('pool_closed', 'the direct database connection is closed')
    }
    current = connection
    if (client.getTransactionStatus() === null) lost('connection closed')
  }

  async function listenOn(connection: PgConnection, channel: string): Promise<void> {
    await inTurn(connection, `listen ${quoteName(channel)}`)
  }

  /** One statement after the other; the deadline counts from when its turn has come. */
  function inTurn<Row>(
    connection: PgConnection,
    text: string,
    values?: unknown[],
  ): Promise<StatementResult<Row>> {
    const next = last.then(() => runStatement<Row>(connection, text, values, deadlineMs, 500))
    last = next.catch(() => {})
    return next
  }

  function lost(reason: string): void {
    const connection = current
    if (connection === undefined) return
    current = undefined
    connection.drop()
    if (closed) return
    log.warning('direct database connection lost, connecting again', {
      reason,
      target: describeTarget(target()),
    })
    retry()
  }

  start()
  return {
    ready: ready.promise,
    async listen(channel, handle) {
      const known = channels.has(channel)
      channels.set(channel, handle)
      await connecting?.catch(() => {})
      if (known || current === undefined) return
      const connection = current
      await listenOn(connection, channel).catch(error => {
        if (current === connection) lost(errorText(error))
      })
    },
    onUp(handle) {
      upHandlers.add(handle)
      if (current !== undefined) queueMicrotask(handle)
      return () => upHandlers.delete(handle)
    },
    async query<Row>(text: string, values?: unknown[]) {
      const connection = current
      if (connection === undefined) {
        throw new PgError('database_unavailable', 'the direct database connection is down')
      }
      try {
        return await inTurn<Row>(connection, text, values)
      } catch (error) {
        if ((error instanceof PgError || isConnectionLoss(error)) && current === connection)
          lost(errorText(error))
        throw error
      }
    },
    isUp: () => current !== undefined,
    reconnect: lost,
    async close() {
      closed = true
      clearTimeout(timer)
      upHandlers.clear()
      ready.promise.catch(() => {})
      const connection = current
      current = undefined
      await connection?.client.end().catch(() => {})
      await connecting?.catch(() => {})
    },
  }
}
