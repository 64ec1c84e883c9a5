// The connections of a pool: who has one, who waits, which are idle, and when one is not used again.
import type { PgConnection } from './client.ts'
import { PgError } from './errors.ts'
import type { Lane } from './lane.ts'
import { addDuration, type PoolFigures } from './pool-figures.ts'

export interface Member {
  readonly connection: PgConnection
  /** ms since epoch after which it is closed instead of reused */
  readonly retireAt: number
  idleTimer: NodeJS.Timeout | undefined
  /** Not to be used again. */
  dead: boolean
  /** Who has it. */
  lane: Lane | undefined
}

export interface PoolState {
  /** connections that are open or being opened */
  open: number
  idle: number
  waiting: number
}

export interface Members {
  /** First come, first served within a lane. @throws PgError `pool_exhausted`, `pool_closed`, or why no connection can be opened */
  acquire(lane: Lane): Promise<Member>
  /** Changes how many there may be; too many go as they become free. */
  resize(max: number): void
  /** Gives one back; it is closed when it is dead, old, or left inside a transaction. */
  release(member: Member): void
  dropIdle(): void
  state(): PoolState
  /** Refuses those who wait, waits for those at work, closes everything. */
  close(): Promise<void>
}

interface Waiter {
  lane: Lane
  resolve(member: Member): void
  reject(error: unknown): void
}

export interface MembersOptions {
  open: () => Promise<PgConnection>
  /** Place of the database, for errors. */
  describe: () => string
  max: number
  /** How many of so many only the lane `login` may use. */
  reserved: (max: number) => number
  figures: PoolFigures
  acquireTimeoutMs: number
  /** In each lane. */
  maxWaiting: number
  idleTimeoutMs: number
  /** 0 = for ever */
  lifetimeMs: number
}

/** Opens connections as they are asked for, up to `max`. */
export function createMembers(options: MembersOptions): Members {
  const { acquireTimeoutMs, figures, maxWaiting, lifetimeMs } = options
  const idle: Member[] = []
  const members = new Set<Member>()
  const waiters = new Set<Waiter>()
  let max = options.max
  let generalBusy = 0
  let opening = 0
  let closing: Promise<void> | undefined
  let onEmpty = () => {}
  let lastFailure: unknown

  /** How many more the general lane may have now. */
  function generalRoom(): number {
    return max - options.reserved(max) - generalBusy
  }

  async function acquire(lane: Lane): Promise<Member> {
    if (closing !== undefined) throw poolClosed()
    const began = performance.now()
    const member = takeIdle(lane) ?? (await wait(lane))
    addDuration(figures.lanes[lane].acquire, performance.now() - began)
    return member
  }

  function takeIdle(lane: Lane): Member | undefined {
    if (lane === 'general' && generalRoom() <= 0) return undefined
    for (let member = idle.pop(); member !== undefined; member = idle.pop()) {
      clearTimeout(member.idleTimer)
      if (!member.dead && member.retireAt > Date.now()) return handOut(member, lane)
      drop(member)
    }
    return undefined
  }

  function handOut(member: Member, lane: Lane): Member {
    member.lane = lane
    if (lane === 'general') generalBusy++
    return member
  }

  function wait(lane: Lane): Promise<Member> {
    const queue = [...waiters].filter(waiter => waiter.lane === lane).length
    if (queue >= maxWaiting) {
      figures.lanes[lane].refused++
      const text = `${queue} callers already wait for one of ${max} database connections`
      return Promise.reject(new PgError('pool_exhausted', text))
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiters.delete(waiter)
        figures.lanes[lane].timeouts++
        reject(outOfTime())
      }, acquireTimeoutMs)
      const waiter: Waiter = {
        lane,
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
    while (closing === undefined && opening < servable() && members.size + opening < max) {
      opening++
      options.open().then(welcome, refuse)
    }
  }

  /** Waiters that may have a connection now. */
  function servable(): number {
    let general = Math.max(0, generalRoom())
    let count = 0
    for (const { lane } of waiters) if (lane === 'login' || general-- > 0) count++
    return count
  }

  function welcome(connection: PgConnection): void {
    opening--
    figures.opened++
    lastFailure = undefined
    const retireAt = lifetimeMs === 0 ? Infinity : Date.now() + lifetimeMs * (0.9 + Math.random() * 0.2)
    const member: Member = { connection, retireAt, idleTimer: undefined, dead: false, lane: undefined }
    members.add(member)
    connection.client.once('end', () => forget(member))
    release(member)
  }

  /** With a connection alive, or another on its way, the waiting go on waiting; else they learn at once why there is none. */
  function refuse(error: unknown): void {
    opening--
    figures.openFailures++
    lastFailure = error
    if (members.size + opening > 0) return
    const failed = [...waiters]
    waiters.clear()
    for (const waiter of failed) waiter.reject(error)
    onEmpty()
  }

  function release(member: Member): void {
    if (member.lane === 'general') generalBusy--
    member.lane = undefined
    const clean = member.connection.client.getTransactionStatus() === 'I'
    if (
      closing !== undefined ||
      member.dead ||
      !clean ||
      member.retireAt <= Date.now() ||
      members.size > max
    ) {
      drop(member)
      openMore()
      return
    }
    const next = nextWaiter()
    if (next !== undefined) {
      waiters.delete(next)
      next.resolve(handOut(member, next.lane))
      return
    }
    member.idleTimer = setTimeout(() => drop(member), options.idleTimeoutMs)
    idle.push(member)
  }

  function nextWaiter(): Waiter | undefined {
    const room = generalRoom() > 0
    for (const waiter of waiters) if (room || waiter.lane === 'login') return waiter
    return undefined
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
    resize(to) {
      max = to
      while (members.size > max && idle.length > 0) {
        const member = idle.pop()
        if (member !== undefined) drop(member)
      }
      for (let next = nextWaiter(); next !== undefined; next = nextWaiter()) {
        const member = takeIdle(next.lane)
        if (member === undefined) break
        waiters.delete(next)
        next.resolve(member)
      }
      openMore()
    },
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
