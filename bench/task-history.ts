// A day of the history of tasks goes as a whole: dropping it must not depend on how much is in it.
import { silentLog as log } from '../src/log.ts'
import { openConnection } from '../src/pg/client.ts'
import { createDb } from '../src/pg/db.ts'
import { createPool } from '../src/pg/pool.ts'
import { dropOldPartitions, ensurePartitions } from '../src/pg/tasks/partitions.ts'
import type { Bench, BenchContext } from './context.ts'
import { judged } from './figure.ts'

/** 17 million are a day at 200 a second; dropping unlinks files, a gigabyte each. POSTERN_BENCH_DAY_ROWS for more or fewer. */
const rows = Number(process.env.POSTERN_BENCH_DAY_ROWS ?? 1_500_000)
const oldDays = 40

export const taskHistory: Bench = { name: 'task-history', run }

async function run({ postgres, emit }: BenchContext): Promise<void> {
  const { target, adminTarget } = await postgres({ migrated: true })
  const pool = createPool({ target: () => target, max: 2, applicationName: 'bench', log })
  const db = createDb({ pool, schema: 'public', log })
  const { client } = await openConnection(adminTarget, { applicationName: 'bench admin' })
  try {
    const day = new Date(Date.now() - oldDays * 86_400_000)
    await ensurePartitions(db, day)
    await ensurePartitions(db)
    await client.query(
      `insert into task_runs (finished_at, id, task_id, queue, actor, payload, attempt, final, state, status, node, created_at, started_at, duration_ms)
       select d, gen_random_uuid(), gen_random_uuid(), 'default', 'clean_events', '{}', 1, true, 'done', 'done', 'worker', d, d, 1.5
       from (select date_trunc('day', $1::timestamptz at time zone 'utc') at time zone 'utc' + n * interval '1 millisecond' as d
         from generate_series(1, $2::int) n) days`,
      [day, rows],
    )
    const { rows: sizes } = await client.query<{ mib: number }>(
      `select sum(pg_total_relation_size(inhrelid)) / 1048576 as mib from pg_inherits where inhparent = 'task_runs'::regclass`,
    )
    await client.query('checkpoint')
    const began = performance.now()
    const dropped = await dropOldPartitions(db)
    const value = performance.now() - began
    if (dropped.length === 0) throw new Error('the benchmark made a day that was not dropped')
    const note = `${rows} rows, ${Math.round(Number(sizes[0]?.mib))} MiB; ${dropped.length} partitions, those of logs and roll-ups included`
    emit(judged({ name: 'task_day_drop', value, unit: 'ms', goal: '<= 1000', note }))
  } finally {
    await client.end()
    await db.close()
  }
}
