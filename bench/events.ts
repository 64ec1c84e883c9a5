// Our bus and Redis Pub/Sub carry the same events to the same sockets.
import { openConnection } from '../src/pg/client.ts'
import type { PgTarget } from '../src/pg/target.ts'
import { cpuSeconds } from './cpu-time.ts'
import { type FanOut, type FanOutResult, fanOutProcesses, startFanOut } from './fan-out.ts'
import { type Emit, judged, median, rounded } from './figure.ts'
import type { SideRow } from './redis.ts'
import type { RedisServer } from './redis-server.ts'

const socketsEach = 200
const rounds = 4
const window = 256
const cases = [
  { thing: 'event to all', name: 'bus_all', members: socketsEach, count: 600 },
  { thing: 'event to 200', name: 'bus_group', members: 200 / fanOutProcesses, count: 2500 },
]
const paced = { perSecond: 50, count: 150 }

/** Rows of both sides for each case, and the figures that have a goal. */
export async function measureEvents(options: {
  target: PgTarget
  postgresPid: number
  redis: RedisServer
  emit: Emit
}): Promise<SideRow[]> {
  const { target, emit } = options
  const sides = [
    { side: 'our bus', series: 0, pid: options.postgresPid, fan: await startFanOut({ target }, socketsEach) },
    {
      ...{ side: 'Redis Pub/Sub', series: 1, pid: options.redis.pid },
      fan: await startFanOut({ redis: options.redis.socket }, socketsEach),
    },
  ]
  const rows: SideRow[] = []
  try {
    for (const { thing, name, members, count } of cases) {
      const results = sides.map(() => [] as { fast: FanOutResult; server: number }[])
      for (const { fan } of sides) await fan.run({ count, members, pace: { window } })
      for (let round = 0; round < rounds; round++)
        for (const [at, { fan, pid }] of sides.entries()) {
          const before = cpuSeconds(pid)
          const fast = await fan.run({ count, members, pace: { window } })
          results[at]?.push({ fast, server: (cpuSeconds(pid) - before) / count })
        }
      const ratios = (results[0] ?? []).map(
        ({ fast }, at) => fast.perSecond / (results[1]?.[at]?.fast.perSecond ?? Number.NaN),
      )
      for (const [at, { side, series, fan }] of sides.entries()) {
        const all = results[at] ?? []
        const slow = await fan.run({ count: paced.count, members, pace: { perSecond: paced.perSecond } })
        rows.push({
          ...{ thing, side, series, p50: slow.p50, p99: slow.p99 },
          perSecond: median(all.map(({ fast }) => fast.perSecond)),
          clientCpu: median(all.map(({ fast }) => (fast.cpu / fast.count) * 1e6)),
          serverCpu: median(all.map(({ server }) => server * 1e6)),
        })
      }
      const [mine, theirs] = rows.slice(-2)
      const note = `${rounded(mine?.perSecond ?? 0)}/s against ${rounded(theirs?.perSecond ?? 0)}/s; p99 at ${paced.perSecond}/s ${rounded(mine?.p99 ?? 0)} ms against ${rounded(theirs?.p99 ?? 0)} ms`
      emit(judged({ name: `${name}_to_redis`, value: median(ratios), unit: 'ratio', goal: '>= 1', note }))
    }
    await footprint(target, sides[0]?.fan as FanOut, emit)
  } finally {
    await Promise.all(sides.map(({ fan }) => fan.close()))
  }
  return rows
}

/** What an event costs the database when each travels alone, the dearest case. */
async function footprint(target: PgTarget, fan: FanOut, emit: Emit): Promise<void> {
  const { client } = await openConnection(target, { applicationName: 'bench' })
  const count = 400
  const look = async () => {
    const { rows } = await client.query<{ wal: string; written: string }>(
      `select pg_current_wal_insert_lsn() - '0/0' as wal, (select sum(n_tup_ins + n_tup_upd + n_tup_del)
         from pg_stat_user_tables where relname not in ('nodes', 'leases')) as written`,
    )
    return { wal: Number(rows[0]?.wal), written: Number(rows[0]?.written) }
  }
  try {
    // The server's statistics come late.
    await new Promise(resolve => setTimeout(resolve, 2000))
    const before = await look()
    await fan.run({ count, members: 1, pace: { perSecond: 100 } })
    await new Promise(resolve => setTimeout(resolve, 2000))
    const after = await look()
    const wal = (after.wal - before.wal) / count
    emit(judged({ name: 'bus_wal_per_event', value: wal, unit: 'B', goal: '<= 100' }))
    const written = (after.written - before.written) / count
    emit(judged({ name: 'bus_rows_per_event', value: written, unit: 'rows', goal: '<= 0' }))
  } finally {
    await client.end()
  }
}
