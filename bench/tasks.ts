// Background tasks: how many a worker gets through, how soon one starts, also when nobody hears its bell, and what half a million
// waiting ones cost. Throughput is told as a ratio, too: to single-row inserts and deletes on as many connections in the same minutes.
import { setTimeout as sleep } from 'node:timers/promises'
import { silentLog } from '../src/log.ts'
import { sql } from '../src/pg/db.ts'
import { createPool } from '../src/pg/pool.ts'
import type { PgTarget } from '../src/pg/target.ts'
import { claimJobs } from '../src/pg/tasks/claim.ts'
import { startBenchProcess } from './bench-process.ts'
import type { Bench, BenchContext } from './context.ts'
import { type Emit, judged, median, rounded } from './figure.ts'
import { launcherFlags } from './started-program.ts'
import { fillQueue, startTaskEngine, type TaskEngine } from './task-engine.ts'

const concurrency = 8
const noops = 20_000
const rowMs = 3000
const starts = 200
const silentStarts = 8
const depths = [1_000, 100_000, 500_000]
const claims = 100
const claimSize = 8

export const tasks: Bench = { name: 'tasks', run }

async function run(context: BenchContext): Promise<void> {
  const { target } = await context.postgres({ migrated: true })
  const rows = await rowRate(target)
  await throughput(context, rows)
  await startLatency(context)
  await deepQueue(context)
}

/** Round trips that insert or delete one row each, a second, on as many connections as a worker has slots. */
async function rowRate(target: PgTarget): Promise<number> {
  const pool = createPool({
    target: () => target,
    max: concurrency,
    applicationName: 'bench rows',
    log: silentLog,
  })
  try {
    await pool.query('create table bench_rows (id bigint primary key, data jsonb not null)')
    const until = performance.now() + rowMs
    let done = 0
    const one = async (lane: number) => {
      for (let n = 0; performance.now() < until; n++) {
        const id = n * concurrency + lane
        await pool.query('insert into bench_rows values ($1, $2)', [id, '{"actor": "noop"}'])
        await pool.query('delete from bench_rows where id = $1', [id])
        done += 2
      }
    }
    await Promise.all(Array.from({ length: concurrency }, (_, lane) => one(lane)))
    return (done / rowMs) * 1000
  } finally {
    await pool.close()
  }
}

async function throughput({ postgres, emit }: BenchContext, rows: number): Promise<void> {
  const { target } = await postgres({ migrated: true })
  const sender = await startTaskEngine({ target, role: 'enqueue', run: async () => {} })
  await fillQueue(sender, noops)
  const args = { target, concurrency }
  const worker = await startBenchProcess('task-worker.ts', { args, flags: launcherFlags })
  try {
    const ended = async () =>
      (await sender.db.first(sql<{ n: number }>`select count(*)::int as n from task_runs`))?.n ?? 0
    while ((await ended()) < noops) await sleep(100)
    const row = await sender.db.first(sql<{ seconds: number }>`
      select extract(epoch from max(finished_at) - min(started_at))::float8 as seconds from task_runs`)
    const rate = noops / (row?.seconds ?? Number.NaN)
    const { cpu } = await worker.usage()
    const note = `${noops} no-op tasks with their history, concurrency ${concurrency}; on a quiet machine the goal is 2,000`
    emit({ name: 'tasks_throughput', value: rounded(rate), unit: 'tasks/s', note })
    emit({ name: 'tasks_worker_cpu', value: rounded((cpu * 1e6) / noops), unit: 'µs/task' })
    emit({ name: 'tasks_row_rate', value: rounded(rows), unit: 'rows/s', note: 'single-row round trips' })
    const size = await sender.db.first(
      sql<{ mib: number }>`select pg_total_relation_size('pgboss.job_common')::float8 / 1048576 as mib`,
    )
    const room = `table of jobs and its indexes when all ${noops} were done, which waited in it together`
    emit(
      judged({ name: 'tasks_table', value: size?.mib ?? Number.NaN, unit: 'MiB', goal: '<= 64', note: room }),
    )
    const value = rate / rows
    emit(judged({ name: 'tasks_throughput_ratio', value, unit: 'ratio', goal: '>= 0.5' }))
  } finally {
    await worker.close()
    await sender.close()
  }
}

async function startLatency({ postgres, emit }: BenchContext): Promise<void> {
  const { target } = await postgres({ migrated: true })
  const begun = new Map<number, (at: number) => void>()
  const run = async ({ n }: { n: number }) => begun.get(n)?.(performance.now())
  const sender = await startTaskEngine({ target, role: 'enqueue', run })
  const started = (n: number) => {
    const { promise, resolve } = Promise.withResolvers<number>()
    begun.set(n, resolve)
    return promise
  }
  const once = async (n: number) => {
    const start = started(n)
    await sender.db.transaction(tx => sender.tasks.enqueue(tx, 'noop', { n }))
    const committed = performance.now()
    return Math.max(0, (await start) - committed)
  }
  try {
    const hearing = await startTaskEngine({ target, role: 'work', concurrency, run })
    for (let n = 0; n < 20; n++) await once(n)
    const heard: number[] = []
    const trips: number[] = []
    for (let n = 0; n < starts; n++) {
      heard.push(await once(n))
      const began = performance.now()
      await sender.db.rows(sql`select 1`)
      trips.push(performance.now() - began)
    }
    await hearing.close()
    emitTimes(emit, 'tasks_start', heard, 'from commit; on a quiet machine p50 <= 10, p99 <= 60')
    const value = median(heard) / median(trips)
    const trip = `to one statement, ${rounded(median(trips))} ms, in the same minutes`
    emit(judged({ name: 'tasks_start_ratio', value, unit: 'ratio', goal: '<= 30', note: trip }))
    const deaf = await startTaskEngine({ target, role: 'work', concurrency, hears: false, run })
    const unheard: Promise<number>[] = []
    for (let n = 0; n < silentStarts; n++) {
      unheard.push(once(n))
      await sleep(900)
    }
    const slowest = Math.max(...(await Promise.all(unheard)))
    await deaf.close()
    const note = 'slowest start with every notification lost; the poll is every 5 s ± 10 %'
    emit(judged({ name: 'tasks_start_unheard', value: slowest, unit: 'ms', goal: '<= 6000', note }))
  } finally {
    await sender.close()
  }
}

async function deepQueue({ postgres, emit }: BenchContext): Promise<void> {
  const { target } = await postgres({ migrated: true })
  const sender = await startTaskEngine({ target, role: 'enqueue', run: async () => {} })
  try {
    let filled = 0
    const medians: number[] = []
    for (const depth of depths) {
      await fillQueue(sender, depth - filled)
      filled = depth
      const times = await claimTimes(sender)
      medians.push(median(times))
      emitTimes(emit, `tasks_claim_${depth}`, times, `claims of ${claimSize}; on a quiet machine p99 <= 20`)
    }
    const [shallow = 1, , deep = Number.NaN] = medians
    emit(judged({ name: 'tasks_claim_growth', value: deep / shallow, unit: 'ratio', goal: '<= 3' }))
    const args = { target, concurrency }
    const worker = await startBenchProcess('task-worker.ts', { args, flags: launcherFlags })
    await sleep(10_000)
    const { rss } = await worker.usage()
    await worker.close()
    const note = `working for ten seconds, ${depths.at(-1)} waiting`
    emit(judged({ name: 'tasks_worker_memory', value: rss, unit: 'MiB', goal: '<= 250', note }))
  } finally {
    await sender.close()
  }
}

async function claimTimes(engine: TaskEngine): Promise<number[]> {
  const times: number[] = []
  for (let n = 0; n < claims; n++) {
    const began = performance.now()
    const jobs = await claimJobs(engine.db, 'default', claimSize)
    times.push(performance.now() - began)
    if (jobs?.length !== claimSize) throw new Error('the benchmark claimed jobs that are not there')
  }
  return times
}

function emitTimes(emit: Emit, name: string, times: number[], note: string): void {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  for (const [suffix, share] of [
    ['p50', 0.5],
    ['p99', 0.99],
  ] as const)
    emit({ name: `${name}_${suffix}`, value: rounded(at(share)), unit: 'ms', note })
}
