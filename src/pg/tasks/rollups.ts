// Figures of ended runs: per minute for charts, since the beginning for counters. Each run is counted once, however often and by
// whomever this is called.
import { type Db, sql, type Tx } from '../db.ts'
import { tryLockInTx } from '../lock.ts'
import { bossSchema } from './boss-schema.ts'

/** Upper bounds of the histogram, seconds; longer runs are counted in one bucket more. */
export const durationBounds = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600, 1800, 3600,
] as const

/** Runs younger than this are left for the next time: a transaction that writes them may still be open. */
const lagMinutes = 2

/** Counts the minutes that are over. @returns whether anything was counted */
export async function rollUp(db: Db): Promise<boolean> {
  return await db.transaction(async tx => {
    if (!(await tryLockInTx(tx, 'task', 'rollup'))) return false
    const counted = await tx.count(rollUpStatement(tx))
    return counted > 0
  })
}

function rollUpStatement(tx: Tx) {
  const totals = tx.t('task_totals')
  return sql`
    with span as (
      select s.rolled_until as since, greatest(s.rolled_until, date_trunc('minute', now() - ${lagMinutes} * interval '1 minute')) as until
      from ${tx.t('task_rollup_state')} s for update
    ), moved as (
      update ${tx.t('task_rollup_state')} s set rolled_until = span.until from span where span.until > span.since
    ), minutes as (
      select date_trunc('minute', r.finished_at) as minute, r.queue, r.actor, ${figures}
      from span join ${tx.t('task_runs')} r on r.finished_at >= span.since and r.finished_at < span.until
      group by 1, 2, 3
    ), written as (
      insert into ${tx.t('task_rollups')} (minute, queue, actor, runs, errors, retries, rejected, lost, cancelled, abandoned, sum_ms,
        histogram)
      select * from minutes
    )
    insert into ${totals} as t (queue, actor, runs, errors, retries, rejected, lost, cancelled, abandoned, sum_ms, histogram)
    select queue, actor, sum(runs), sum(errors), sum(retries), sum(rejected), sum(lost), sum(cancelled), sum(abandoned), sum(sum_ms), ${sumOfHistograms(sql`histogram`)}
    from minutes group by queue, actor
    on conflict (queue, actor) do update set runs = t.runs + excluded.runs, errors = t.errors + excluded.errors,
      retries = t.retries + excluded.retries, rejected = t.rejected + excluded.rejected, lost = t.lost + excluded.lost,
      cancelled = t.cancelled + excluded.cancelled, abandoned = t.abandoned + excluded.abandoned,
      sum_ms = t.sum_ms + excluded.sum_ms,
      histogram = (select array_agg(a + b order by i) from unnest(t.histogram, excluded.histogram) with ordinality as u (a, b, i))`
}

export interface ActorFigures {
  queue: string
  actor: string
  runs: number
  errors: number
  retries: number
  rejected: number
  lost: number
  cancelled: number
  abandoned: number
  /** tasks that were not filed because one that waits does their work */
  deduplicated: number
  sum_ms: number
  /** as many as there are bounds, and one more */
  histogram: number[]
}

/** Since the beginning, with what has not been rolled up yet. */
export async function totalFigures(db: Db): Promise<ActorFigures[]> {
  const rows = await db.rows(
    sql<Record<keyof ActorFigures, string> & { histogram: string[] }>`
    with recent as (
      select r.queue, r.actor, ${figures}, 0::bigint as deduplicated from ${db.t('task_runs')} r
      where r.finished_at >= (select rolled_until from ${db.t('task_rollup_state')}) group by 1, 2
    ), every as (
      select queue, actor, runs, errors, retries, rejected, lost, cancelled, abandoned, sum_ms, histogram, deduplicated
      from ${db.t('task_totals')}
      union all select * from recent
    )
    select queue, actor, sum(runs) as runs, sum(errors) as errors, sum(retries) as retries, sum(rejected) as rejected,
      sum(lost) as lost, sum(cancelled) as cancelled, sum(abandoned) as abandoned, sum(deduplicated) as deduplicated,
      sum(sum_ms) as sum_ms, ${sumOfHistograms(sql`histogram`)} as histogram
    from every group by queue, actor order by queue, actor`,
    { retry: true },
  )
  return rows.map(row => ({
    queue: row.queue,
    actor: row.actor,
    runs: Number(row.runs),
    errors: Number(row.errors),
    retries: Number(row.retries),
    rejected: Number(row.rejected),
    lost: Number(row.lost),
    cancelled: Number(row.cancelled),
    abandoned: Number(row.abandoned),
    deduplicated: Number(row.deduplicated),
    sum_ms: Number(row.sum_ms),
    histogram: row.histogram.map(Number),
  }))
}

/** Aggregates over runs `r`, in the order of the tables' columns. */
const figures = sql`count(*) as runs, count(*) filter (where r.error is not null and r.state <> 'cancelled') as errors,
  count(*) filter (where not r.final and r.error is not null) as retries,
  count(*) filter (where r.final and r.state = 'rejected') as rejected, count(*) filter (where r.after_loss) as lost,
  count(*) filter (where r.state = 'cancelled') as cancelled, count(*) filter (where r.abandoned) as abandoned,
  sum(r.duration_ms) as sum_ms, array[${sql.join(
    Array.from({ length: durationBounds.length + 1 }, (_, bucket) => bucketCount(bucket)),
  )}] as histogram`

function bucketCount(bucket: number) {
  const above = bucket === 0 ? sql`true` : sql`r.duration_ms > ${sql.lit(durationBounds[bucket - 1]! * 1000)}`
  const upTo =
    bucket === durationBounds.length
      ? sql`true`
      : sql`r.duration_ms <= ${sql.lit(durationBounds[bucket]! * 1000)}`
  return sql`count(*) filter (where ${above} and ${upTo})`
}

function sumOfHistograms(column: ReturnType<typeof sql>) {
  const places = Array.from(
    { length: durationBounds.length + 1 },
    (_, i) => sql`sum(${column}[${sql.lit(i + 1)}])::bigint`,
  )
  return sql`array[${sql.join(places)}]`
}

/**
 * Jobs that pg-boss gave up because their last worker was lost become history as well.
 * @returns number of them
 */
export async function collectLost(db: Db, node: string): Promise<number> {
  return await db.count(sql`
    with gone as (
      delete from ${sql.raw(bossSchema(db.schema))}.job
      where state in ('failed', 'cancelled', 'completed') and data ? 'actor'
      returning id, gen_random_uuid() as run_id, name, data, priority, retry_count, state::text as state,
        state = 'cancelled' or coalesce((data -> 'cancelled')::bool, false) as cancelled,
        coalesce(output #>> '{value,message}', 'the task was ended from outside') as error, created_on,
        coalesce(started_on, created_on) as started_on, coalesce(completed_on, now()) as completed_on
    ), logs as (
      insert into ${db.t('task_logs')} (at, seq, run_id, task_id, level, logger, event, attributes)
      select now(), 0, run_id, id, 'error', 'authentik.tasks', 'the worker was lost, and this was the last attempt',
        jsonb_build_object('cause', error) from gone where state = 'failed'
    )
    insert into ${db.t('task_runs')} (finished_at, id, task_id, queue, actor, payload, uid, object, priority, attempt, final, state,
      status, after_loss, error, node, created_at, started_at, duration_ms)
    select now(), run_id, id, name, data ->> 'actor', coalesce(data -> 'payload', '{}'), coalesce(data ->> 'uid', ''), data -> 'object',
      priority, retry_count + 1, true, case when cancelled then 'cancelled' else 'rejected' end,
      case when cancelled then 'cancelled' when state = 'failed' then 'error' else 'rejected' end, state = 'failed', error,
      ${node}, created_on, started_on, greatest(0, extract(epoch from completed_on - started_on)::float8 * 1000)
    from gone`)
}
