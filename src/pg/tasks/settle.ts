// What becomes of claimed jobs: ended, tried again later, or given back. One statement for any number of them moves the job and writes
// its history, so that neither is ever without the other. A claim that was lost in the meantime changes nothing.
import { type Db, type Queryable, sql } from '../db.ts'
import { bossSchema } from './boss-schema.ts'
import type { Envelope } from './job.ts'
import type { LogLine } from './run-log.ts'

export interface RunRecord {
  id: string
  envelope: Envelope
  priority: number
  final: boolean
  state: 'done' | 'rejected'
  status: string
  afterLoss: boolean
  error: string | null
  result: unknown
  createdOn: Date
  startedOn: Date
  durationMs: number
  logs: LogLine[]
}

export interface Settlement {
  queue: string
  id: string
  /** names the claim */
  retryCount: number
  /** `return`: as if it had not been claimed */
  next: 'end' | 'retry' | 'return'
  delayMs: number
  run: RunRecord | null
}

/** @returns ids of the jobs whose claim was still held; nothing happened to the others */
export async function settleJobs(
  db: Queryable & Pick<Db, 'schema'>,
  node: string,
  settlements: Settlement[],
): Promise<Set<string>> {
  const job = sql.raw(`${bossSchema(db.schema)}.job`)
  const rows = await db.rows(sql<{ id: string }>`
    with e as (
      select * from jsonb_to_recordset(${asJson(settlements.map(rowOf))}::jsonb)
        as x (queue text, id uuid, retry_count int, next text, delay_ms float8, run jsonb)
    ), held as (
      select e.* from e join ${job} j on j.name = e.queue and j.id = e.id and j.retry_count = e.retry_count
      where j.state in ('active', 'retry') and j.started_on is not null
      for update of j
    ), ended as (
      delete from ${job} j using held h where h.next = 'end' and j.name = h.queue and j.id = h.id
    ), again as (
      update ${job} j set state = 'retry', start_after = now() + h.delay_ms * interval '1 ms', completed_on = null, output = null,
        heartbeat_on = null, started_on = case when h.next = 'return' then null else j.started_on end
      from held h where h.next <> 'end' and j.name = h.queue and j.id = h.id
    ), runs as (
      insert into ${db.t('task_runs')} (finished_at, id, task_id, queue, actor, payload, uid, object, priority, attempt, final, state,
        status, after_loss, error, result, node, created_at, started_at, duration_ms)
      select now(), r.id, h.id, h.queue, r.actor, r.payload, r.uid, r.object, r.priority, h.retry_count + 1, r.final, r.state,
        r.status, r.after_loss, r.error, r.result, ${node}, r.created_at, r.started_at, r.duration_ms
      from held h cross join lateral jsonb_to_record(h.run) as r (id uuid, actor text, payload jsonb, uid text, object jsonb,
        priority int, final bool, state text, status text, after_loss bool, error text, result jsonb, created_at timestamptz,
        started_at timestamptz, duration_ms float8)
      where jsonb_typeof(h.run) = 'object'
    ), logs as (
      insert into ${db.t('task_logs')} (at, seq, run_id, task_id, level, logger, event, attributes)
      select l.at, l.seq, (h.run ->> 'id')::uuid, h.id, l.level, l.logger, l.event, l.attributes
      from held h cross join lateral jsonb_to_recordset(h.run -> 'logs') as l (at timestamptz, seq int, level text, logger text,
        event text, attributes jsonb)
      where jsonb_typeof(h.run) = 'object'
    )
    select id from held`)
  return new Set(rows.map(row => row.id))
}

/**
 * Keeps claims alive and stores how far the work is.
 * @returns ids of the claims that are still held
 */
export async function beatJobs(
  db: Queryable & Pick<Db, 'schema'>,
  held: { queue: string; id: string; retryCount: number; progress: { done: number; total: number } | null }[],
): Promise<Set<string>> {
  const job = sql.raw(`${bossSchema(db.schema)}.job`)
  const beats = held.map(({ queue, id, retryCount, progress }) => ({
    queue,
    id,
    retry_count: retryCount,
    progress: progress === null ? null : { progress },
  }))
  const rows = await db.rows(sql<{ id: string }>`
    update ${job} j set heartbeat_on = now(), output = coalesce(nullif(b.progress, 'null'), j.output)
    from jsonb_to_recordset(${asJson(beats)}::jsonb) as b (queue text, id uuid, retry_count int, progress jsonb)
    where j.name = b.queue and j.id = b.id and j.retry_count = b.retry_count and j.state = 'active'
    returning j.id`)
  return new Set(rows.map(row => row.id))
}

function rowOf({ queue, id, retryCount, next, delayMs, run }: Settlement) {
  return {
    queue,
    id,
    retry_count: retryCount,
    next,
    delay_ms: delayMs,
    run: run && {
      id: run.id,
      actor: run.envelope.actor,
      payload: run.envelope.payload ?? {},
      uid: run.envelope.uid ?? '',
      object: run.envelope.object ?? null,
      priority: run.priority,
      final: run.final,
      state: run.state,
      status: run.status,
      after_loss: run.afterLoss,
      error: run.error,
      result: run.result ?? null,
      created_at: run.createdOn.toISOString(),
      started_at: run.startedOn.toISOString(),
      duration_ms: run.durationMs,
      logs: run.logs.map((line, seq) => ({ ...line, seq })),
    },
  }
}

/** PostgreSQL's jsonb holds every character but U+0000. */
function asJson(value: unknown): string {
  return JSON.stringify(value).replaceAll('\\u0000', '\\ufffd')
}
