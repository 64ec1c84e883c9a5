// Everything Redis would do, on PostgreSQL and on Redis in the same minutes: cache, locks, sessions, and events to many sockets. Rounds of
// the sides alternate and medians count. Redis keeps nothing on disk as a cache, and flushes once a second where it holds what must not
// be lost; PostgreSQL runs as `npm start` runs it, with fsync.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Bench, BenchContext } from './context.ts'
import { cpuSeconds } from './cpu-time.ts'
import { measureEvents } from './events.ts'
import { type Emit, judged, median, rounded } from './figure.ts'
import { makeSessions } from './made-sessions.ts'
import { madeSessions, madeUsers, type OperationsArgs } from './operations.ts'
import type { OperationResult, OperationRun } from './operations-process.ts'
import { barPicture } from './plot.ts'
import { type RedisServer, startRedis } from './redis-server.ts'
import { launcherFlags } from './started-program.ts'

/** One row of the table: a side doing a thing. */
export interface SideRow {
  thing: string
  side: string
  /** 0 = ours, 1 = Redis */
  series: number
  perSecond: number
  p50: number
  p99: number
  /** p50 of one caller alone, ms */
  alone?: number
  /** µs of CPU for each, in the process that asks and in the server */
  clientCpu: number
  serverCpu: number
}

interface Thing {
  thing: string
  callers: number
  sides: { side: string; name: string; server: 'postgres' | 'redis' | 'durable' | 'none' }[]
}

const things: Thing[] = [
  {
    thing: 'cache get',
    callers: 256,
    sides: [
      { side: 'in memory', name: 'getMemory', server: 'none' },
      { side: 'unlogged table', name: 'getTable', server: 'postgres' },
      { side: 'Redis GET', name: 'getRedis', server: 'redis' },
    ],
  },
  {
    thing: 'cache set',
    callers: 256,
    sides: [
      { side: 'look, claim, write', name: 'fillTable', server: 'postgres' },
      { side: 'Redis, the same', name: 'fillRedis', server: 'redis' },
      { side: 'Redis SET alone', name: 'setRedis', server: 'redis' },
    ],
  },
  {
    thing: 'lock',
    callers: 16,
    sides: [
      { side: 'transaction', name: 'lockTransaction', server: 'postgres' },
      { side: 'lease row', name: 'lockLease', server: 'postgres' },
      { side: 'Redis SET NX', name: 'lockRedis', server: 'durable' },
    ],
  },
  {
    thing: 'session',
    callers: 32,
    sides: [
      { side: 'one statement', name: 'sessionOurs', server: 'postgres' },
      { side: 'GET and user', name: 'sessionRedisAndUser', server: 'durable' },
      { side: 'Redis GET', name: 'sessionRedis', server: 'durable' },
    ],
  },
]
const rounds = 3
const roundMs = 1000
const aloneMs = 500

export const redis: Bench = { name: 'redis', run }

async function run({ emit, document, postgres }: BenchContext): Promise<void> {
  const { target } = await postgres({ migrated: true })
  const postgresPid = await makeSessions(target, { users: madeUsers, sessions: madeSessions })
  const [cache, durable] = [await startRedis({ durable: false }), await startRedis({ durable: true })]
  const rows: SideRow[] = []
  try {
    const args: OperationsArgs = { target, redis: cache.socket, durableRedis: durable.socket }
    const child = await startOperations(args)
    const pids = { postgres: postgresPid, redis: cache.pid, durable: durable.pid, none: 0 }
    try {
      for (const thing of things) rows.push(...(await compare(child, thing, pids)))
    } finally {
      await stopOperations(child)
    }
    judge(rows, emit)
    rows.push(...(await measureEvents({ target, postgresPid, redis: cache, emit })))
    document.picture('redis', pictureOf(rows, cache), 'Rates side by side with Redis')
    document.table(tableOf(rows, cache))
  } finally {
    await Promise.all([cache.close(), durable.close()])
  }
}

async function compare(child: ChildProcess, thing: Thing, pids: Record<string, number>): Promise<SideRow[]> {
  const results = thing.sides.map(() => ({ all: [] as OperationResult[], server: [] as number[] }))
  for (const { name } of thing.sides) await ask(child, { name, callers: thing.callers, ms: roundMs })
  for (let round = 0; round < rounds; round++)
    for (const [at, { name, server }] of thing.sides.entries()) {
      // What asks both pays for both.
      const asked =
        name === 'sessionRedisAndUser' ? [pids.durable ?? 0, pids.postgres ?? 0] : [pids[server] ?? 0]
      const used = () => asked.reduce((sum, pid) => sum + (pid === 0 ? 0 : cpuSeconds(pid)), 0)
      const before = used()
      const result = await ask(child, { name, callers: thing.callers, ms: roundMs })
      results[at]?.all.push(result)
      results[at]?.server.push(((used() - before) / result.count) * 1e6)
    }
  const rows: SideRow[] = []
  for (const [at, { side, name, server }] of thing.sides.entries()) {
    const { all, server: serverCpu } = results[at] as (typeof results)[number]
    const alone = await ask(child, { name, callers: 1, ms: aloneMs })
    const of = (pick: (one: OperationResult) => number) => median(all.map(pick))
    rows.push({
      ...{ thing: thing.thing, side, series: /Redis|GET/.test(side) ? 1 : 0 },
      ...{ perSecond: of(one => one.perSecond), p50: of(one => one.p50), p99: of(one => one.p99) },
      ...{ alone: alone.p50, clientCpu: of(one => (one.cpu / one.count) * 1e6) },
      serverCpu: server === 'none' ? 0 : median(serverCpu),
    })
  }
  return rows
}

function judge(rows: SideRow[], emit: Emit): void {
  const find = (side: string) => rows.find(row => row.side === side) as SideRow
  const [memory, table, get] = [find('in memory'), find('unlogged table'), find('Redis GET')]
  emit(judged({ name: 'cache_memory_get', value: (memory.alone ?? 0) * 1000, unit: 'µs', goal: '<= 5' }))
  const ratio = memory.perSecond / get.perSecond
  emit(judged({ name: 'cache_memory_to_redis', value: ratio, unit: 'ratio', goal: '>= 1' }))
  emit(judged({ name: 'cache_table_gets', value: table.perSecond, unit: '1/s', goal: '>= 40000' }))
  const p99 = `p99 of one get among 256 callers ${rounded(table.p99)} ms; alone ${rounded(table.alone ?? 0)} ms`
  emit({ name: 'cache_table_get_alone', value: rounded(table.alone ?? 0), unit: 'ms', note: p99 })
  const sets = find('look, claim, write').perSecond
  emit(judged({ name: 'cache_table_sets', value: sets, unit: '1/s', goal: '>= 10000' }))
}

function tableOf(rows: SideRow[], { version }: RedisServer) {
  return {
    title: `PostgreSQL and Redis ${version} in the same run`,
    columns: ['', '', 'per second', 'p50 ms', 'p99 ms', 'alone p50 ms', 'CPU µs, asking', 'CPU µs, server'],
    rows: rows.map(row => [
      ...[row.thing, row.side, rounded(row.perSecond), fine(row.p50), fine(row.p99)],
      ...[row.alone === undefined ? '' : fine(row.alone), fine(row.clientCpu), fine(row.serverCpu)],
    ]),
    note:
      'Callers at once: 256 for the cache, 16 for locks, 32 for sessions; "alone" is one caller. Events: four processes of 200 sockets ' +
      'each; the rate is that with 256 events under way, p50 and p99 are those at 50 events a second, from publishing until the last socket has it. ' +
      '"GET and user" is what a design with Redis does for the same answer: the session from Redis, then user, groups and roles from the database.',
  }
}

function pictureOf(rows: SideRow[], { version }: RedisServer): string {
  const names = [...new Set(rows.map(({ thing }) => thing))]
  const of = (thing: string) => rows.filter(row => row.thing === thing)
  return barPicture({
    title: 'What Redis would do: PostgreSQL and Redis in the same run',
    series: ['Postern on PostgreSQL', `Redis ${version}`],
    panels: names.map(thing => ({
      ...{ title: thing, unit: 'per second, more is better' },
      bars: of(thing).map(({ side, perSecond, series }) => ({ label: side, value: perSecond, series })),
    })),
  })
}

function fine(value: number): number {
  return Number(value.toPrecision(3))
}

async function startOperations(args: OperationsArgs): Promise<ChildProcess> {
  const file = join(import.meta.dirname, 'operations-process.ts')
  const child = fork(file, [JSON.stringify(args)], { execArgv: launcherFlags })
  await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => Promise.reject(new Error('a process of the benchmark ended'))),
  ])
  return child
}

async function stopOperations(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  const gone = once(child, 'exit')
  child.disconnect()
  await gone
}

async function ask(child: ChildProcess, run: OperationRun): Promise<OperationResult> {
  const answer = once(child, 'message')
  child.send(run)
  const [result] = (await answer) as [OperationResult | { error: string }]
  if ('error' in result) throw new Error(result.error)
  return result
}
