// Messages where no connection may keep anything in its session: only a transaction pooler leads to the database, so nobody can
// LISTEN. Every message is then a row, and each process asks for new rows four times a second. Slower and dearer than a direct
// connection, and otherwise the same: after every failure it starts from now, and whoever listens compares with the tables.
import { errorText, type Log } from '../log.ts'
import type { Direct } from './direct.ts'
import { PgError } from './errors.ts'
import { quoteName } from './migrations.ts'
import { createPool } from './pool.ts'
import type { PgTarget } from './target.ts'

/** A row may become visible after one with a higher number; after so long none is expected any more. */
const lateForMs = 5000
const atOnce = 500

interface Answer {
  newest: string | null
  messages: { id: string; body: string }[]
}

/**
 * Stands in for the direct connection. It has one connection of its own, through the pooler, so that a busy pool does not make it deaf.
 * @param options.target the pooler
 * @param options.intervalMs how often it asks. Default 250
 * @param options.deadlineMs of each statement. Default 5,000
 */
export function createPolling(options: {
  target: () => PgTarget
  schema: string
  applicationName: string
  log: Log
  intervalMs?: number
  deadlineMs?: number
}): Direct & { ready: Promise<void> } {
  const { log } = options
  const intervalMs = options.intervalMs ?? 250
  const deadlineMs = options.deadlineMs ?? 5000
  const pool = createPool({ target: options.target, max: 1, applicationName: options.applicationName, log })
  const text = statement(quoteName(options.schema))
  const handlers = new Map<string, (payload: string) => void>()
  const upHandlers = new Set<() => void>()
  const ready = Promise.withResolvers<void>()
  let up = false
  let closed = false
  let told = false
  /** Everything up to here was seen long enough ago. */
  let floor = 0n
  /** Numbers above the floor that were handed on, and when. */
  let seen = new Map<string, number>()
  let timer: NodeJS.Timeout | undefined

  async function poll(): Promise<void> {
    let full = false
    try {
      full = up ? await take() : await begin()
      if (told) log.info('messages arrive again')
      told = false
    } catch (error) {
      lost(errorText(error))
    }
    if (!closed) timer = setTimeout(next, full ? 0 : intervalMs)
  }

  /** What is there already was sent before anybody listened; the tables have it. */
  async function begin(): Promise<boolean> {
    const answer = await ask(floor, [], 0)
    if (closed) return false
    floor = BigInt(answer.newest ?? 0)
    seen = new Map()
    up = true
    ready.resolve()
    for (const handle of upHandlers) handle()
    return false
  }

  async function take(): Promise<boolean> {
    const { newest, messages } = await ask(floor, [...seen.keys()], atOnce)
    if (newest !== null && BigInt(newest) < floor) {
      // The numbers have begun anew: the server was killed, and the table is not one that survives that.
      lost('the table of messages was emptied')
      return true
    }
    const now = performance.now()
    for (const { id, body } of messages) {
      seen.set(id, now)
      for (const handle of handlers.values()) handle(body)
    }
    for (const [id, at] of seen) {
      if (at > now - lateForMs) continue
      seen.delete(id)
      if (BigInt(id) > floor) floor = BigInt(id)
    }
    return messages.length === atOnce
  }

  async function ask(from: bigint, known: string[], limit: number): Promise<Answer> {
    const { rows } = await pool.query<Answer>(text, [String(from), known, limit], { deadlineMs })
    return rows[0] ?? { newest: null, messages: [] }
  }

  function lost(reason: string): void {
    up = false
    if (closed || told) return
    told = true
    log.warning('messages cannot be asked for, trying again', { reason })
  }

  let asking = poll()
  function next(): void {
    asking = poll()
  }

  return {
    polls: true,
    ready: ready.promise,
    async listen(channel, handle) {
      handlers.set(channel, handle)
      await asking
    },
    onUp(handle) {
      upHandlers.add(handle)
      if (up) queueMicrotask(handle)
      return () => upHandlers.delete(handle)
    },
    async query<Row>(text: string, values?: unknown[]) {
      if (closed) throw new PgError('pool_closed', 'the connection of messages is closed')
      return await pool.query<Row>(text, values, { deadlineMs })
    },
    isUp: () => up,
    reconnect: lost,
    async close() {
      closed = true
      clearTimeout(timer)
      upHandlers.clear()
      await asking
      await pool.close()
    },
  }
}

/** New messages and the highest number, in one statement on the primary key. */
function statement(schema: string): string {
  return `select (select max(id)::text from ${schema}.bus_blobs) as newest, coalesce((
  select json_agg(json_build_object('id', id::text, 'body', body) order by id) from (
    select id, body from ${schema}.bus_blobs where id > $1::bigint and id <> all($2::bigint[]) order by id limit $3) b), '[]') as messages`
}
