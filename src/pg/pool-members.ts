// The connections of a pool: who has one, who waits, which are idle, and when one is not used again.
import type { PgConnection } from './client.ts'
import { PgError } from './errors.ts'

export interface Member {
  readonly connection: PgConnection
  /** ms since epoch after which it is closed instead of reused */
  readonly retireAt: number
  idleTimer: NodeJS.Timeout | undefined
  /** Not to be used again. */
  dead: boolean
}

export interface PoolState {
  /** connections that are open or being opened */
  open: number
  idle: number
  waiting: number
}

export interface Members {
  /** First come, first served. @throws PgError `pool_exhausted`, `pool_closed`, or why no connection can be opened */
  acquire(): Promise<Member>
  /** Gives one back; it is closed when it is dead, old, or left inside a transaction. */
  release(member: Member): void
  dropIdle(): void
  state(): PoolState
  /** Refuses those who wait, waits for those at work, closes everything. */
  close(): Promise<void>
}

interface Waiter {
  resolve(member: Member): void
  reject(error: unknown): void
}

export interface MembersOptions {
  open: () => Promise<PgConnection>
  /** Place of the database, for errors. */
  describe: () => string
  max: number
  acquireTimeoutMs: number
  maxWaiting: number
  idleTimeoutMs: number
  /** 0 = for ever */
  lifetimeMs: number
}

/** Opens connections as they are asked for, up to `max`. */
export function createMembers(options: MembersOptions): Members {
  const { max, acquireTimeoutMs, maxWaiting, lifetimeMs } = options
  const idle: Member[] = []
  const members = new Set<Member>()
  const waiters = new Set<Waiter>()
  let opening = 0
  let closing: Promise<void> | undefined
  let onEmpty = () => {}
  let lastFailure: unknown

  function acquire(): Promise<Member> {
    if (closing !== undefined) return Promise.reject(poolClosed())
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
    const text = `no connection to ${options.describe()} within ${acquireTimeoutMs} ms`
    return new PgError('database_unavailable', text, { cause: lastFailure })
  }

  function openMore(): void {
    while (closing === undefined && opening < waiters.size && members.size + opening < max) {
      opening++
      options.open().then(welcome, refuse)
    }
  }

  function welcome(connection: PgConnection): void {
    opening--
    lastFailure = undefined
    const retireAt = lifetimeMs === 0 ? Infinity : Date.now() + lifetimeMs * (0.9 + Math.random() * 0.2)
    const member: Member = { connection, retireAt, idleTimer: undefined, dead: false }
    members.add(member)
    connection.client.once('end', () => forget(member))
    release(member)
  }

  /** With a connection alive, or another on its way, the waiting go on waiting; else they learn at once why there is none. */
  function refuse(error: unknown): void {
    opening--
    lastFailure = error
    if (members.size + opening > 0) return
    const failed = [...waiters]
    waiters.clear()
    for (const waiter of failed) waiter.reject(error)
    onEmpty()
  }

  function release(member: Member): void {
    const clean = member.connection.client.getTransactionStatus() === 'I'
    if (closing !== undefined || member.dead || !clean || member.retireAt <= Date.now()) {
      drop(member)
      return
    }
    const [next] = waiters
    if (next !== undefined) {
      waiters.delete(next)
      next.resolve(member)
      return
    }
    member.idleTimer = setTimeout(() => drop(member), options.idleTimeoutMs)
    idle.push(member)
  }

  function drop(member: Member): void {
    if (member.dead) member.connection.drop()
    else member.connection.client.end().catch(() => {})
    forget(member)
  }

  function forget(member: Member): void {
    member.dead = true
    clearTimeout(member.idleTimer)
    const at = idle.indexOf(member)
    if (at >= 0) idle.splice(at, 1)
    if (!members.delete(member)) return
    if (members.size + opening === 0) onEmpty()
    openMore()
  }

  async function close(): Promise<void> {
    for (const waiter of waiters) waiter.reject(poolClosed())
    waiters.clear()
    const empty = new Promise<void>(resolve => {
      onEmpty = resolve
    })
    const ends = [...members].map(
      ({ connection }) => new Promise(resolve => connection.client.once('end', resolve)),
    )
    for (const member of [...idle]) drop(member)
    if (members.size + opening > 0) await empty
    await Promise.all(ends)
  }

  return {
    acquire,
    release,
    dropIdle() {
      for (const member of [...idle]) {
        member.dead = true
        drop(member)
      }
    },
    state: () => ({ open: members.size + opening, idle: idle.length, waiting: waiters.size }),
    close: () => {
      closing ??= Promise.resolve().then(close)
      return closing
    },
  }
}

function poolClosed(): PgError {
  return new PgError('pool_closed', 'the database pool is closed')
}
