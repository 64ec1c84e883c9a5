import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { asked, containsText, equals, isNull } from './filters.sql.ts'
import type { Condition, Ordering, Table } from './resource.sql.ts'

export interface TaskScheduleRow {
  id: string
  identifier: string
  actor: string
  payload: unknown
  crontab: string
  timezone: string
  paused: boolean
  next_run_at: Date | null
  object: { app: string; model: string; id: string } | null
  last_task_status: string | null
}

export interface TaskScheduleQuery {
  actor_name?: string
  paused?: boolean
  rel_obj_content_type__app_label?: string
  rel_obj_content_type__model?: string
  rel_obj_id?: string
  rel_obj_id__isnull?: boolean
  search?: string
}

export function taskScheduleTable(db: Queryable): Table {
  return {
    key: sql`r.id`,
    from: sql`${db.t('task_schedules')} r`,
    columns: sql`r.id, r.identifier, r.actor, r.payload, r.crontab, r.timezone, r.paused, r.object, r.next_run_at,
      (select t.status from ${db.t('tasks')} t where t.actor = r.actor order by t.modified_at desc limit 1) as last_task_status`,
  }
}

export function taskScheduleConditions(_db: Queryable, q: TaskScheduleQuery): Condition[] {
  return asked([
    equals(sql`r.actor`, q.actor_name),
    equals(sql`r.paused`, q.paused),
    equals(sql`r.object ->> 'app'`, q.rel_obj_content_type__app_label),
    equals(sql`r.object ->> 'model'`, q.rel_obj_content_type__model),
    equals(sql`r.object ->> 'id'`, q.rel_obj_id),
    isNull(sql`r.object ->> 'id'`, q.rel_obj_id__isnull),
    containsText([sql`r.actor`, sql`r.identifier`, sql`coalesce(r.object ->> 'id', '')`], q.search),
  ])
}

export const taskScheduleOrdering: Ordering = {
  actor_name: sql`r.actor`,
  identifier: sql`r.identifier`,
  crontab: sql`r.crontab`,
  paused: sql`r.paused`,
}
