// Reads from standbys, for lists and reports that ask for it. A standby is used only while it is hardly behind, and never shows a
// caller less than that caller has written: what this process wrote is known here, what another one wrote by a position in the log.
import { errorText, type Log } from '../log.ts'
import { isUnavailable, sqlstate, sqlstates } from './errors.ts'
import { createPool, type PgPool, type PgStatement, type WatchedPool } from './pool.ts'
import { describeTarget, type PgTarget } from './target.ts'

export interface ReplicaState {
  /** place, for people and metrics */
  target: string
  /** Undefined: not known, e.g. not reachable. */
  lagSeconds: number | undefined
  eligible: boolean
}

export interface Replicas {
  /**
   * Where to read now: a standby that has everything, else the primary.
   * @param after position (`Db.position`) of the last write of who asks; without it, everything this process has written
   */
  reader(after?: string): Pick<PgStatement, 'query'>
  /** This process has written. */
  wrote(): void
  state(): ReplicaState[]
  /** These standbys from now on; those that were there already keep their connections. @returns how many came and went */
  retarget(targets: (() => PgTarget)[]): { added: number; removed: number }
  close(): Promise<void>
}

interface Replica {
  pool: WatchedPool
  /** where it is, read anew for every connection */
  read: () => PgTarget
  target: string
  replayed: bigint | undefined
  lagMs: number | undefined
  trouble: boolean
}

interface Sample {
  /** ms, `performance.now()`, before it was asked for */
  at: number
  position: bigint
}

const longestLagMs = 1000
const stopAfterMs = 60_000
const deadlineMs = 2000

/**
 * Nothing is asked until somebody reads; with no reader for a minute the standbys are left alone again.
 * @param options.targets one function per standby, read anew for every connection
 * @param options.pollMs how often positions are compared. Default 1,000
 */
export function createReplicas(options: {
  primary: PgPool
  targets: (() => PgTarget)[]
  applicationName: string
  log: Log
  max?: number
  pollMs?: number
}): Replicas {
  const { primary, log } = options
  const pollMs = options.pollMs ?? 1000
  let replicas: Replica[] = options.targets.map(create)
  let leaving: Promise<unknown> = Promise.resolve()
  let samples: Sample[] = []
  let wroteAt = -Infinity
  let usedAt = -Infinity
  let turn = 0
  let timer: NodeJS.Timeout | undefined
  let polling: Promise<void> | undefined
  let closed = false

  function create(read: () => PgTarget): Replica {
    const replica: Replica = {
      pool: createPool({
        target: () => replica.read(),
        max: options.max ?? 4,
        applicationName: options.applicationName,
        log,
        acquireTimeoutMs: 2000,
      }),
      read,
      target: describeTarget(read()),
      replayed: undefined,
      lagMs: undefined,
      trouble: false,
    }
    return replica
  }

  function schedule(inMs: number): void {
    if (closed || timer !== undefined || polling !== undefined) return
    timer = setTimeout(() => {
      timer = undefined
      polling = poll().finally(() => {
        polling = undefined
        if (performance.now() - usedAt < stopAfterMs) schedule(pollMs)
        else for (const replica of replicas) replica.replayed = undefined
      })
    }, inMs)
  }

  async function poll(): Promise<void> {
    const at = performance.now()
    try {
      const { rows } = await primary.query<{ position: string }>(
        'select pg_current_wal_insert_lsn() as position',
        [],
        { deadlineMs },
      )
      const position = rows[0]?.position
      if (position === undefined) return
      samples = [
        ...samples.filter(sample => at - sample.at < 10 * pollMs + longestLagMs),
        { at, position: toNumber(position) },
      ]
    } catch {
      // Then nothing tells how far the standbys are behind.
      samples = []
    }
    await Promise.all(replicas.map(look))
  }

  async function look(replica: Replica): Promise<void> {
    try {
      const { rows } = await replica.pool.query<{ position: string | null }>(
        'select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() end as position',
        [],
        { deadlineMs },
      )
      const position = rows[0]?.position
      replica.replayed = position == null ? undefined : toNumber(position)
      if (replica.trouble) log.info('read replica is back', { target: replica.target })
      replica.trouble = false
    } catch (error) {
      replica.replayed = undefined
      if (!replica.trouble)
        log.warning('read replica not used', { target: replica.target, error: errorText(error) })
      replica.trouble = true
    }
    const newest = newestReplayed(replica)
    replica.lagMs = newest === undefined ? undefined : performance.now() - newest.at
  }

  function newestReplayed(replica: Replica): Sample | undefined {
    const { replayed } = replica
    return replayed === undefined ? undefined : samples.findLast(sample => sample.position <= replayed)
  }

  /** The answer of the last look counts, grown old by the time since then. */
  function isEligible(replica: Replica, after: bigint | undefined): boolean {
    const newest = newestReplayed(replica)
    if (newest === undefined || replica.replayed === undefined) return false
    if (performance.now() - newest.at > longestLagMs + pollMs) return false
    return after === undefined ? newest.at >= wroteAt : replica.replayed >= after
  }

  return {
    reader(after) {
      if (replicas.length === 0 || closed) return primary
      usedAt = performance.now()
      schedule(0)
      const needed = after === undefined ? undefined : toNumber(after)
      const able = replicas.filter(replica => isEligible(replica, needed))
      const replica = able[turn++ % Math.max(1, able.length)]
      return replica === undefined ? primary : orPrimary(replica, primary)
    },
    wrote() {
      wroteAt = performance.now()
    },
    state: () =>
      replicas.map(replica => ({
        target: replica.target,
        lagSeconds: replica.lagMs === undefined ? undefined : replica.lagMs / 1000,
        eligible: isEligible(replica, 0n),
      })),
    retarget(targets) {
      if (closed) return { added: 0, removed: 0 }
      const before = replicas
      replicas = targets.map(read => {
        const known = before.find(replica => replica.target === describeTarget(read()))
        if (known === undefined) return create(read)
        known.read = read
        return known
      })
      const gone = before.filter(replica => !replicas.includes(replica))
      leaving = Promise.all([leaving, ...gone.map(replica => replica.pool.close())])
      return {
        added: replicas.filter(replica => !before.includes(replica)).length,
        removed: gone.length,
      }
    },
    async close() {
      closed = true
      clearTimeout(timer)
      await polling
      await Promise.all([leaving, ...replicas.map(replica => replica.pool.close())])
    },
  }
}

/** A standby that fails, or gives up a statement because of what it replays, is not asked again before the next look. */
function orPrimary(replica: Replica, primary: PgPool): Pick<PgStatement, 'query'> {
  return {
    async query(text, values, settings) {
      try {
        return await replica.pool.query(text, values, settings)
      } catch (error) {
        const conflict = sqlstate(error) === sqlstates.serializationFailure
        if (!conflict && !isUnavailable(error)) throw error
        replica.replayed = undefined
        return await primary.query(text, values, settings)
      }
    },
  }
}

/** `16/B374D848`: the upper and the lower half, in hexadecimal. */
function toNumber(position: string): bigint {
  const [high = '0', low = '0'] = position.split('/')
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)
}
