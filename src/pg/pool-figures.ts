// What a pool has done since it was made, for metrics: counters and two histograms with buckets of their own, so that a statement
// pays an addition and nothing more.
import { type Lane, lanes } from './lane.ts'
import { statementName } from './statement-name.ts'

/** Upper bounds in seconds; what is longer is counted in a last, open bucket. */
export const acquireBounds = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 5] as const
export const statementBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 15] as const

export interface Durations {
  readonly bounds: readonly number[]
  /** not cumulative; one more than bounds */
  readonly counts: number[]
  count: number
  sumSeconds: number
}

export interface LaneFigures {
  /** how long callers waited for a connection */
  acquire: Durations
  /** gave up after the longest wait */
  timeouts: number
  /** were refused at once because too many waited already */
  refused: number
}

export interface PoolFigures {
  readonly lanes: Record<Lane, LaneFigures>
  /** by name (`statementName`); at most 150, what comes later is `other` */
  readonly statements: Map<string, Durations>
  /** of the last connection: `TLSv1.3`, `TLSv1.2`, or `none` */
  tls: string | undefined
  /** connections opened, and attempts that failed */
  opened: number
  openFailures: number
  /** connections that ended under a statement */
  lost: number
}

export function createFigures(): PoolFigures {
  const lane = (): LaneFigures => ({ acquire: createDurations(acquireBounds), timeouts: 0, refused: 0 })
  const byLane = Object.fromEntries(lanes.map(name => [name, lane()])) as Record<Lane, LaneFigures>
  return { lanes: byLane, statements: new Map(), tls: undefined, opened: 0, openFailures: 0, lost: 0 }
}

export function createDurations(bounds: readonly number[]): Durations {
  return { bounds, counts: Array.from({ length: bounds.length + 1 }, () => 0), count: 0, sumSeconds: 0 }
}

const maxNames = 150

/** @param ms how long the statement took */
export function addStatement({ statements }: PoolFigures, text: string, ms: number): void {
  const own = statementName(text)
  const name = statements.has(own) || statements.size < maxNames - 1 ? own : 'other'
  let durations = statements.get(name)
  if (durations === undefined) {
    durations = createDurations(statementBounds)
    statements.set(name, durations)
  }
  addDuration(durations, ms)
}

/** @param ms how long it took */
export function addDuration(to: Durations, ms: number): void {
  const seconds = ms / 1000
  let at = 0
  while (at < to.bounds.length && seconds > (to.bounds[at] ?? 0)) at++
  to.counts[at] = (to.counts[at] ?? 0) + 1
  to.count++
  to.sumSeconds += seconds
}
