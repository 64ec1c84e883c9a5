import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { asked, containsText, equals, oneOf } from './filters.sql.ts'
import type { Condition, Ordering, Table } from './resource.sql.ts'

/** How far the revocation an event started has come. */
export interface Receipts {
  /** instances that have said they applied it */
  applied: number
  /** instances that report, and were connected when it began or have reported */
  of: number
  /** the slowest so far, null while nobody has reported */
  ms: number | null
  /** connected instances that never report */
  not_reporting: number
  /** those of the others that have not answered yet, as `outpost: host (instance)` */
  silent: string[]
}

export interface EventRow {
  id: string
  action: string
  app: string
  user: Record<string, unknown>
  context: Record<string, unknown>
  client_ip: string | null
  brand: Record<string, unknown>
  created_at: Date
  expires_at: Date
  receipts: Receipts | null
}

export interface EventQuery {
  action?: string
  actions?: string[]
  brand_name?: string
  client_ip?: string
  context_authorized_app?: string
  context_model_app?: string
  context_model_name?: string
  context_model_pk?: string
  search?: string
  username?: string
}

export function eventTable(db: Queryable): Table {
  const receipts = db.t('revocation_receipts')
  const instances = db.t('outpost_instances')
  return {
    key: sql`r.id`,
    from: sql`${db.t('events')} r`,
    columns: sql`
      r.id, r.action, r.app, r."user", r.context, r.client_ip, r.brand, r.created_at, r.expires_at,
      case when r.revocation_id is not null then (
        select json_build_object('applied', count(x.ms), 'of', count(*), 'ms', max(x.ms), 'not_reporting', (
          select count(*) from ${instances} i where not i.receipts and i.expires_at > now()),
          'silent', coalesce(json_agg(x.who order by x.who) filter (where x.ms is null), '[]'))
        from (
          select ms, '' as who from ${receipts} where revocation_id = r.revocation_id
          union all
          select null, concat(o.name, ': ', i.hello ->> 'hostname', ' (', i.instance_id, ')')
          from ${instances} i join ${db.t('outposts')} o on o.id = i.outpost_id
          where i.receipts and i.expires_at > now() and i.connected_at <= r.created_at and not exists (
            select from ${receipts} y
            where y.revocation_id = r.revocation_id and y.outpost_id = i.outpost_id and y.instance_id = i.instance_id)
        ) x
      ) end as receipts`,
  }
}

export function eventConditions(_db: Queryable, q: EventQuery): Condition[] {
  return asked([
    sql<boolean>`r.expires_at > now()`,
    equals(sql`r.action`, q.action),
    oneOf(sql`r.action`, q.actions, 'text'),
    equals(sql`r.client_ip`, q.client_ip),
    equals(sql`r."user" ->> 'username'`, q.username),
    containsText([sql`r.brand ->> 'name'`], q.brand_name),
    equals(sql`r.context #>> '{authorized_application,pk}'`, q.context_authorized_app),
    equals(sql`r.context #>> '{model,app}'`, q.context_model_app),
    equals(sql`r.context #>> '{model,model_name}'`, q.context_model_name),
    equals(sql`r.context #>> '{model,pk}'`, q.context_model_pk),
    containsText(
      [
        sql`r.action`,
        sql`r.app`,
        sql`r."user" ->> 'username'`,
        sql`coalesce(r.client_ip, '')`,
        sql`r.context::text`,
      ],
      q.search,
    ),
  ])
}

export const eventOrdering: Ordering = {
  created: sql`r.created_at`,
  action: sql`r.action`,
  app: sql`r.app`,
  user: sql`r."user" ->> 'username'`,
  client_ip: sql`r.client_ip`,
  expires: sql`r.expires_at`,
}
