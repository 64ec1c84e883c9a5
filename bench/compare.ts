// Servers under the same load in turns: rounds alternate and medians count, so that a busy machine disturbs all of them alike.
import type { BenchProcess, Usage } from './bench-process.ts'
import { median } from './figure.ts'
import type { Load, LoadGenerator, LoadResult } from './load.ts'

export interface Side {
  /** asked for the CPU it used; several when they share the load, none when it is not ours to ask */
  processes: BenchProcess<unknown>[]
  load: Pick<Load, 'ports' | 'requests'>
}

export interface Round {
  result: LoadResult
  /** of all processes together; memory and event loop are those of the busiest */
  usage: Usage
}

export interface Measured {
  perSecond: number
  /** ms */
  p50: number
  p99: number
  /** µs of CPU per request in the server */
  cpu: number
  /** share of the time in which the event loops of the server and of the load generator were busy */
  busy: number
  loaderBusy: number
}

/** @param options.ms of one round */
export async function inTurns(
  load: LoadGenerator,
  sides: Side[],
  options: { rounds: number; ms: number; warmUpMs: number },
): Promise<Round[][]> {
  const all = sides.map(() => [] as Round[])
  for (const side of sides) await measure(load, side, options.warmUpMs)
  for (let round = 0; round < options.rounds; round++)
    for (const [at, side] of sides.entries()) all[at]?.push(await measure(load, side, options.ms))
  return all
}

export async function measure(load: LoadGenerator, side: Side, ms: number): Promise<Round> {
  const usage = async () => await Promise.all(side.processes.map(process => process.usage()))
  await usage()
  const result = await load.run({ ...side.load, connections: 32, status: 200, ms })
  const used = await usage()
  const sum = (pick: (one: Usage) => number) => used.reduce((total, one) => total + pick(one), 0)
  const most = (pick: (one: Usage) => number) => Math.max(0, ...used.map(pick))
  return {
    result,
    usage: {
      ...{ cpu: sum(one => one.cpu), system: sum(one => one.system) },
      ...{ busy: most(one => one.busy), rss: most(one => one.rss) },
    },
  }
}

/** Medians over the rounds. */
export function summed(rounds: Round[]): Measured {
  const of = (pick: (round: Round) => number) => median(rounds.map(pick))
  return {
    perSecond: of(({ result }) => result.perSecond),
    p50: of(({ result }) => result.p50),
    p99: of(({ result }) => result.p99),
    cpu: of(({ result, usage }) => (usage.cpu / result.requests) * 1e6),
    busy: of(({ usage }) => usage.busy),
    loaderBusy: of(({ result }) => result.busy),
  }
}

/** Median of the ratios of rounds that follow each other: the load of the rest of the machine changes slowly. */
export function ratioOf(mine: Round[], theirs: Round[]): number {
  const per = (round: Round | undefined) => round?.result.perSecond ?? Number.NaN
  return median(mine.map((round, at) => per(round) / per(theirs[at])))
}
