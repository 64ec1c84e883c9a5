// What becomes of claimed jobs: ended, tried again later, or given back. One statement for any number of them moves the job and writes
// its history, so that neither is ever without the other. A claim that was lost in the meantime changes nothing.
import type { RawBuilder } from 'kysely'
import { type Db, type Queryable, sql } from '../db.ts'
import { bossSchema } from './boss-schema.ts'
import type { Envelope } from './job.ts'
import type { LogLine } from './run-log.ts'

export interface RunRecord {
  id: string
  envelope: Envelope
  priority: number
  final: boolean
  state: 'done' | 'rejected' | 'cancelled'
  status: string
  afterLoss: boolean
  /** The body did not end when it was told to, and was left behind. */
  abandoned: boolean
  error: string | null
  result: unknown
  createdOn: Date
  startedOn: Date
  durationMs: number
  /** Those that are not written yet. */
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

/**
 * A job that is to be tried again while another of its key waits is folded into that one, which then has its attempts and its time.
 * @returns ids of the jobs whose claim was still held; nothing happened to the others
 */
export async function settleJobs(
  db: Queryable & Pick<Db, 'schema'>,
  node: string,
  settlements: Settlement[],
): Promise<Set<string>> {
  const job = sql.raw(`${bossSchema(db.schema)}.job`)
  // Planning costs as much as doing it: most batches have nothing but ends without lines.
  const someGoOn = settlements.some(one => one.next !== 'end')
  const someSpoke = settlements.some(one => one.run !== null && one.run.logs.length > 0)
  const sorted = settlements.toSorted((a, b) => (a.id < b.id ? -1 : 1)).map(rowOf)
  const rows = await db.rows(sql<{ id: string }>`
    with e as (
      select * from json_to_recordset(${asJson(sorted)}::json) as x (queue text, id uuid, retry_count int, next text, delay_ms float8,
        run_id uuid, actor text, payload jsonb, uid text, object jsonb, priority int, final bool, state text, status text,
        after_loss bool, abandoned bool, error text, result jsonb, created_at timestamptz, started_at timestamptz,
        duration_ms float8, logs json)
    ), held as (
      select e.*, j.singleton_key from e cross join lateral (
        select singleton_key from ${job} j where j.name = e.queue and j.id = e.id and j.retry_count = e.retry_count
          and j.state in ('active', 'retry') and j.started_on is not null limit 1 for update) j
    ) ${someGoOn ? goOn(job) : sql``}, ended as (
      delete from ${job} j using held h
      where (h.next = 'end' ${someGoOn ? sql`or h.id in (select id from folded)` : sql``}) and j.name = h.queue and j.id = h.id
    ), runs as (
      insert into ${db.t('task_runs')} (finished_at, id, task_id, queue, actor, payload, uid, object, priority, attempt, final, state,
        status, after_loss, abandoned, error, result, node, created_at, started_at, duration_ms)
      select now(), h.run_id, h.id, h.queue, h.actor, h.payload, h.uid, h.object, h.priority, h.retry_count + 1,
        h.final ${someGoOn ? sql`or h.id in (select id from folded)` : sql``}, h.state, h.status, h.after_loss, h.abandoned, h.error,
        h.result, ${node}, h.created_at, h.started_at, h.duration_ms
      from held h where h.run_id is not null
    ) ${someSpoke ? speak(db) : sql``} ${someGoOn ? tellFolded(db) : sql``}
    select id from held`)
  return new Set(rows.map(row => row.id))
}

function goOn(job: RawBuilder<unknown>) {
  return sql`, folded as (
      update ${job} t set retry_count = greatest(t.retry_count, h.retry_count + 1),
        start_after = least(t.start_after, now() + h.delay_ms * interval '1 ms')
      from held h where h.next = 'retry' and t.name = h.queue and coalesce(t.singleton_key, '') = h.singleton_key
        and t.state = 'created' and t.policy = 'short'
      returning h.id, t.id as twin
    ), again as (
      update ${job} j set state = 'retry', start_after = now() + h.delay_ms * interval '1 ms', completed_on = null, output = null,
        heartbeat_on = null, started_on = case when h.next = 'return' then null else j.started_on end
      from held h
      where h.next <> 'end' and h.id not in (select id from folded) and j.name = h.queue and j.id = h.id
    )`
}

function speak(db: Queryable) {
  return sql`, logs as (
      insert into ${db.t('task_logs')} (at, seq, run_id, task_id, level, logger, event, attributes)
      select l.at, l.seq, h.run_id, h.id, l.level, l.logger, l.event, l.attributes
      from held h cross join lateral json_to_recordset(h.logs) as l (at timestamptz, seq int, level text, logger text, event text,
        attributes jsonb)
      where h.run_id is not null
    )`
}

function tellFolded(db: Queryable) {
  return sql`, told as (
      insert into ${db.t('task_logs')} (at, seq, run_id, task_id, level, logger, event, attributes)
      select now(), ${foldedSeq}, h.run_id, h.id, 'warning', 'authentik.tasks', ${foldedEvent}, jsonb_build_object('task', f.twin)
      from folded f join held h on h.id = f.id
    )`
}

/** After every line of the run itself. */
const foldedSeq = 1_000_000
const foldedEvent = 'a task that waits does the work of the next attempt'

/** A claim that goes on. */
export interface HeldClaim {
  queue: string
  id: string
  retryCount: number
  /** Of the run. */
  runId: string
  progress: { done: number; total: number } | null
  /** Lines of the run that are not written yet. */
  lines: LogLine[]
}

/**
 * Keeps claims alive and stores how far the work is and what it said.
 * @returns claims that are still held, by id, and whether they are to be cancelled
 */
export async function beatJobs(
  db: Queryable & Pick<Db, 'schema'>,
  claims: HeldClaim[],
): Promise<Map<string, { cancelled: boolean }>> {
  const job = sql.raw(`${bossSchema(db.schema)}.job`)
  const beats = claims.map(({ queue, id, retryCount, runId, progress, lines }) => ({
    ...{ queue, id, retry_count: retryCount, run_id: runId, lines },
    output: { run: runId, ...(progress === null ? {} : { progress }) },
  }))
  const rows = await db.rows(sql<{ id: string; cancelled: boolean }>`
    with b as (
      select * from jsonb_to_recordset(${asJson(beats)}::jsonb)
        as x (queue text, id uuid, retry_count int, run_id uuid, output jsonb, lines jsonb)
    ), mine as (
      select b.* from b cross join lateral (
        select from ${job} j where j.name = b.queue and j.id = b.id and j.retry_count = b.retry_count and j.state = 'active'
        limit 1 for update) j
    ), held as (
      update ${job} j set heartbeat_on = now(), output = b.output from mine b where j.name = b.queue and j.id = b.id
      returning j.id, b.run_id, b.lines, coalesce((j.data -> 'cancelled')::bool, false) as cancelled
    ), logs as (
      insert into ${db.t('task_logs')} (at, seq, run_id, task_id, level, logger, event, attributes)
      select l.at, l.seq, h.run_id, h.id, l.level, l.logger, l.event, l.attributes
      from held h cross join lateral jsonb_to_recordset(h.lines) as l (at timestamptz, seq int, level text, logger text, event text,
        attributes jsonb)
    )
    select id, cancelled from held`)
  return new Map(rows.map(row => [row.id, { cancelled: row.cancelled }]))
}

function rowOf({ queue, id, retryCount, next, delayMs, run }: Settlement) {
  return {
    ...{ queue, id, retry_count: retryCount, next, delay_ms: delayMs },
    ...(run && {
      run_id: run.id,
      actor: run.envelope.actor,
      payload: run.envelope.payload ?? {},
      uid: run.envelope.uid ?? '',
      object: run.envelope.object ?? null,
      priority: run.priority,
      final: run.final,
      state: run.state,
      status: run.status,
      after_loss: run.afterLoss,
      abandoned: run.abandoned,
      error: run.error,
      result: run.result ?? null,
      created_at: run.createdOn,
      started_at: run.startedOn,
      duration_ms: run.durationMs,
      logs: run.logs,
    }),
  }
}

/** PostgreSQL's jsonb holds every character but U+0000. */
function asJson(value: unknown): string {
  return JSON.stringify(value).replaceAll('\\u0000', '\\ufffd')
}
