import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { asked, equals, oneOf } from '../api/filters.sql.ts'
import type { Condition, Ordering, Table } from '../api/resource.sql.ts'
import { visibleTo } from '../api/visible.sql.ts'
import type { Principal } from '../sessions/principal.ts'

export interface BindingRow {
  id: string
  target_id: string
  user_id: number | null
  group_id: string | null
  negate: boolean
  enabled: boolean
  order: number
  timeout: number
  failure_result: boolean
  expires_at: Date | null
  /** null when the caller may not view him */
  user_obj: Record<string, unknown> | null
  group_obj: Record<string, unknown> | null
}

export interface BindingQuery {
  enabled?: boolean
  order?: number
  policy?: string
  policy__isnull?: boolean
  search?: string
  target?: string
  target_in?: string[]
  timeout?: number
}

export function bindingTable(db: Queryable, _query: BindingQuery, principal: Principal): Table {
  return {
    key: sql`r.id`,
    from: sql`${db.t('policy_bindings')} r
      left join ${db.t('users')} u on u.id = r.user_id left join ${db.t('groups')} g on g.id = r.group_id`,
    columns: sql`r.id, r.target_id, r.user_id, r.group_id, r.negate, r.enabled, r."order", r.timeout, r.failure_result, r.expires_at,
      case when u.id is not null and ${visibleTo(db, principal, 'authentik_core.view_user', sql`u.id`)} then
        json_build_object('pk', u.id, 'username', u.username, 'name', u.name, 'is_active', u.is_active, 'last_login', u.last_login_at,
          'email', u.email, 'attributes', u.attributes, 'uid', u.uid) end as user_obj,
      case when g.id is not null and ${visibleTo(db, principal, 'authentik_core.view_group', sql`g.id`)} then
        json_build_object('pk', g.id, 'num_pk', g.num_pk, 'name', g.name, 'is_superuser', g.is_superuser,
          'attributes', g.attributes) end as group_obj`,
  }
}

export function bindingConditions(_db: Queryable, q: BindingQuery): Condition[] {
  return asked([
    equals(sql`r.target_id`, q.target),
    oneOf(sql`r.target_id`, q.target_in, 'uuid'),
    equals(sql`r.enabled`, q.enabled),
    equals(sql`r."order"`, q.order),
    equals(sql`r.timeout`, q.timeout),
    // Every binding there is names a user or a group.
    q.policy !== undefined || q.policy__isnull === false ? sql<boolean>`false` : undefined,
    q.search === undefined || q.search === ''
      ? undefined
      : sql<boolean>`(strpos(lower(u.username), lower(${q.search})) > 0 or strpos(lower(g.name), lower(${q.search})) > 0)`,
  ])
}

export const bindingOrdering: Ordering = {
  order: sql`r."order"`,
  target: sql`r.target_id`,
  enabled: sql`r.enabled`,
  timeout: sql`r.timeout`,
  pk: sql`r.id`,
}

export interface Target {
  kind: 'application' | 'flow' | 'flowstagebinding'
  visible: boolean
  changeable: boolean
}

/** What a binding is about, and what the caller may do to it. */
export async function findTarget(
  db: Queryable,
  principal: Principal,
  id: string,
): Promise<Target | undefined> {
  const parts = [
    ['application', 'authentik_core', 'applications'],
    ['flow', 'authentik_flows', 'flows'],
    ['flowstagebinding', 'authentik_flows', 'flow_stage_bindings'],
  ].map(
    ([kind, app, table]) => sql`
      select ${kind}::text as kind, ${visibleTo(db, principal, `${app}.view_${kind}`, sql`t.id`)} as visible,
        ${visibleTo(db, principal, `${app}.change_${kind}`, sql`t.id`)} as changeable
      from ${db.t(table!)} t where t.id = ${id}`,
  )
  return db.first<Target>(sql<Target>`${sql.join(parts, sql` union all `)}`)
}

/** Flows that these are, or that these bind stages of: plans made before start over. */
export async function raiseFlowVersions(db: Queryable, ids: string[]): Promise<number> {
  return db.count(sql`
    update ${db.t('flows')} f set version = version + 1, updated_at = now()
    where f.id = any(${ids}::uuid[])
      or f.id in (select b.flow_id from ${db.t('flow_stage_bindings')} b where b.id = any(${ids}::uuid[]))`)
}
