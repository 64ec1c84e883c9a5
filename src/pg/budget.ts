// How many connections a process may have, so that all processes of an installation together leave room in the server: for others, for
// an operator, and for the standalone outposts, which are not counted here.

/** What kind of process; each has a pool and one direct connection. */
export type PoolRole = 'server' | 'worker' | 'start'

/** What the server says. */
export interface ServerSlots {
  maxConnections: number
  /** kept by the server for superusers and for roles with pg_use_reserved_connections */
  reserved: number
}

export interface Budget {
  /** Size of the pool of this process. */
  pool: number
  /** What its role would like. */
  wanted: number
  /** Slots an ordinary role can use. */
  usable: number
  /** Processes that share them, this one included. */
  processes: number
  /** True when there is not enough for what the role would like. */
  shrunk: boolean
  /** The sum, for people. */
  text: string
}

const sizes = {
  server: { usual: 10, small: 6 },
  worker: { usual: 6, small: 4 },
  start: { usual: 10, small: 10 },
}
/** Below this many usable slots the small sizes hold, and they are the whole reserve. */
const fewSlots = 30
const reservePart = 0.2
/** A transaction and a statement beside it; with fewer a program could stand in its own way. */
const least = 2

/** @param processes living processes of the installation, this one included */
export function budgetOf(server: ServerSlots, role: PoolRole, processes: number): Budget {
  const usable = Math.max(0, server.maxConnections - server.reserved)
  const few = usable < fewSlots
  const wanted = few ? sizes[role].small : sizes[role].usual
  const shared = few ? usable : Math.floor(usable * (1 - reservePart))
  const share = Math.floor(shared / Math.max(1, processes)) - 1
  const pool = Math.max(least, Math.min(wanted, share))
  const reserve = few ? '' : `, less ${reservePart * 100} % reserve = ${shared}`
  return {
    pool,
    wanted,
    usable,
    processes,
    shrunk: pool < wanted,
    text: `max_connections ${server.maxConnections} - reserved ${server.reserved} = ${usable}${reserve}; shared by ${processes} processes, less 1 direct connection each: ${share}; wanted ${wanted}, pool ${pool}`,
  }
}

/** Connections of a pool only sign-in and session look-ups may use: 2 of 10, 1 of 6, none of a very small pool. */
export function reservedForLogin(pool: number): number {
  if (pool >= 8) return 2
  return pool >= 4 ? 1 : 0
}
