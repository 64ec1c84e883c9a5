import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { asked, containsText, equals, isNull, oneOf } from './filters.sql.ts'
import type { Condition, Ordering, Table } from './resource.sql.ts'

export interface TaskLogLine {
  timestamp: string
  log_level: string
  logger: string
  event: string
  attributes: Record<string, unknown>
}

export interface TaskRow {
  id: string
  queue: string
  actor: string
  state: string
  status: string
  modified_at: Date
  retries: number
  retry_limit: number
  eta: Date | null
  uid: string
  object: { app: string; model: string; id: string } | null
  progress: { done: number; total: number } | null
  logs: TaskLogLine[]
  previous_logs: TaskLogLine[]
}

export interface TaskQuery {
  actor_name?: string
  aggregated_status?: string[]
  queue_name?: string
  rel_obj_content_type__app_label?: string
  rel_obj_content_type__model?: string
  rel_obj_id?: string
  rel_obj_id__isnull?: boolean
  search?: string
  state?: string
}

/** Lines shown of one run, and of all before it. */
const maxLines = 500

export function taskTable(db: Queryable): Table {
  const lines = (condition: ReturnType<typeof sql>) => sql`(
    select coalesce(json_agg(l.line order by l.at, l.seq), '[]') from (
      select x.at, x.seq, json_build_object('timestamp', x.at, 'log_level', x.level, 'logger', x.logger, 'event', x.event,
        'attributes', x.attributes) as line
      from ${db.t('task_logs')} x where x.task_id = r.id and ${condition}
      order by x.at desc, x.seq desc limit ${maxLines}) l)`
  // Of the last run, or of the one that is under way.
  const run = sql`case when r.state = 'running' then (r.output ->> 'run')::uuid else r.last_run end`
  return {
    key: sql`r.id`,
    from: sql`${db.t('tasks')} r`,
    columns: sql`
      r.id, r.queue, r.actor, r.state, r.status, r.modified_at, r.retries, r.retry_limit, r.eta, r.uid, r.object,
      coalesce((select json_build_object('done', f.done, 'total', f.total) from ${db.t('task_fan_outs')} f where f.id = r.id),
        (case when r.last_run is null then r.output -> 'progress' end)::json) as progress,
      ${lines(sql`x.run_id = ${run} and x.at >= r.created_at`)} as logs,
      ${lines(sql`x.run_id is distinct from ${run}`)} as previous_logs`,
  }
}

export function taskConditions(_db: Queryable, q: TaskQuery): Condition[] {
  return asked([
    equals(sql`r.actor`, q.actor_name),
    equals(sql`r.queue`, q.queue_name),
    equals(sql`r.state`, q.state),
    oneOf(sql`r.status`, q.aggregated_status, 'text'),
    equals(sql`r.object ->> 'app'`, q.rel_obj_content_type__app_label),
    equals(sql`r.object ->> 'model'`, q.rel_obj_content_type__model),
    equals(sql`r.object ->> 'id'`, q.rel_obj_id),
    isNull(sql`r.object ->> 'id'`, q.rel_obj_id__isnull),
    containsText(
      [
        sql`r.actor`,
        sql`r.queue`,
        sql`r.uid`,
        sql`r.id::text`,
        sql`r.status`,
        sql`coalesce(r.object ->> 'id', '')`,
      ],
      q.search,
    ),
  ])
}

export const taskOrdering: Ordering = {
  mtime: sql`r.modified_at`,
  actor_name: sql`r.actor`,
  queue_name: sql`r.queue`,
  state: sql`r.state`,
  aggregated_status: sql`r.status`,
  retries: sql`r.retries`,
  eta: sql`r.eta`,
}

/** Number of tasks by status. */
export async function countByStatus(db: Queryable): Promise<Record<string, number>> {
  const rows = await db.rows(
    sql<{
      status: string
      count: number
    }>`select status, count(*)::int as count from ${db.t('tasks')} group by status`,
  )
  return Object.fromEntries(rows.map(row => [row.status, row.count]))
}
