import type { RawBuilder } from 'kysely'
import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { asked, containsText, equals } from '../api/filters.sql.ts'
import type { Condition, Ordering, Table } from '../api/resource.sql.ts'
import { providerVisible } from '../providers/providers.sql.ts'
import type { Principal } from '../sessions/principal.ts'

export interface FlowSetRow {
  id: string
  slug: string
  name: string
  title: string
  designation: string
  background: string
  layout: string
  compatibility_mode: boolean
  denied_action: string
  policy_engine_mode: 'any' | 'all'
}

export interface FlowRow extends FlowSetRow {
  authentication: string
  /** ids of its stages, in order */
  stages: string[]
}

export interface FlowQuery {
  denied_action?: string
  designation?: string
  flow_uuid?: string
  name?: string
  search?: string
  slug?: string
}

export function flowTable(db: Queryable): Table {
  return {
    key: sql`r.slug`,
    from: sql`${db.t('flows')} r`,
    columns: sql`r.id, r.slug, r.name, r.title, r.designation, r.background, r.layout, r.compatibility_mode, r.denied_action,
      r.policy_engine_mode, r.authentication,
      array(select b.stage_id from ${db.t('flow_stage_bindings')} b where b.flow_id = r.id order by b."order", b.id) as stages`,
  }
}

export function flowConditions(_db: Queryable, q: FlowQuery): Condition[] {
  return asked([
    equals(sql`r.id`, q.flow_uuid),
    equals(sql`r.name`, q.name),
    equals(sql`r.slug`, q.slug),
    equals(sql`r.designation`, q.designation),
    equals(sql`r.denied_action`, q.denied_action),
    containsText([sql`r.name`, sql`r.slug`, sql`r.title`, sql`r.designation`], q.search),
  ])
}

export const flowOrdering: Ordering = {
  slug: sql`r.slug`,
  name: sql`r.name`,
  title: sql`r.title`,
  designation: sql`r.designation`,
  denied_action: sql`r.denied_action`,
  flow_uuid: sql`r.id`,
}

/** Providers that cannot be without the flow, at most ten; null for those the caller may not view. */
export async function providersOfFlow(
  db: Queryable,
  principal: Principal,
  id: string,
): Promise<(string | null)[]> {
  const rows = await db.rows<{ name: string | null }>(sql`
    select case when ${providerVisible(db, principal, 'view')} then r.name end as name from ${db.t('providers')} r
    where r.authorization_flow_id = ${id} or r.invalidation_flow_id = ${id} order by 1 limit 10`)
  return rows.map(row => row.name)
}

/** Deletes the flow, its bindings of stages, and what was bound to either. */
export async function deleteFlow(db: Queryable, id: string): Promise<void> {
  await db.count(sql`
    with bound as (
      delete from ${db.t('policy_bindings')} where target_id = ${id}
        or target_id in (select b.id from ${db.t('flow_stage_bindings')} b where b.flow_id = ${id})
    )
    delete from ${db.t('flows')} where id = ${id}`)
}

/** The flows a stage is in, as `FlowSetRow[]`. @param stageId its id as SQL */
function flowSet(db: Queryable, stageId: RawBuilder<unknown>) {
  return sql`coalesce((
    select json_agg(json_build_object('id', f.id, 'slug', f.slug, 'name', f.name, 'title', f.title, 'designation', f.designation,
      'background', f.background, 'layout', f.layout, 'compatibility_mode', f.compatibility_mode,
      'denied_action', f.denied_action, 'policy_engine_mode', f.policy_engine_mode) order by f.slug)
    from ${db.t('flows')} f
    where exists (select from ${db.t('flow_stage_bindings')} l where l.flow_id = f.id and l.stage_id = ${stageId})), '[]')`
}

export interface StageRow {
  id: string
  type: string
  name: string
  flow_set: FlowSetRow[]
}

export interface StageQuery {
  name?: string
  search?: string
}

export function stageTable(db: Queryable): Table {
  return {
    key: sql`r.id`,
    from: sql`${db.t('stages')} r`,
    columns: sql`r.id, r.type, r.name, ${flowSet(db, sql`r.id`)} as flow_set`,
  }
}

export function stageConditions(_db: Queryable, q: StageQuery): Condition[] {
  return asked([equals(sql`r.name`, q.name), containsText([sql`r.name`], q.search)])
}

export const stageOrdering: Ordering = { name: sql`r.name`, pk: sql`r.id` }

export interface FlowBindingRow {
  id: string
  flow_id: string
  stage_id: string
  order: number
  evaluate_on_plan: boolean
  re_evaluate_policies: boolean
  invalid_response_action: string
  policy_engine_mode: 'any' | 'all'
  stage_type: string
  stage_name: string
  flow_set: FlowSetRow[]
}

export interface FlowBindingQuery {
  evaluate_on_plan?: boolean
  fsb_uuid?: string
  invalid_response_action?: string
  order?: number
  pbm_uuid?: string
  policies?: string[]
  policy_engine_mode?: string
  re_evaluate_policies?: boolean
  search?: string
  stage?: string
  target?: string
}

export function flowBindingTable(db: Queryable): Table {
  return {
    key: sql`r.id`,
    from: sql`${db.t('flow_stage_bindings')} r join ${db.t('stages')} s on s.id = r.stage_id
      join ${db.t('flows')} w on w.id = r.flow_id`,
    columns: sql`r.id, r.flow_id, r.stage_id, r."order", r.evaluate_on_plan, r.re_evaluate_policies, r.invalid_response_action,
      r.policy_engine_mode, s.type as stage_type, s.name as stage_name, ${flowSet(db, sql`s.id`)} as flow_set`,
  }
}

export function flowBindingConditions(_db: Queryable, q: FlowBindingQuery): Condition[] {
  return asked([
    equals(sql`r.id`, q.fsb_uuid ?? q.pbm_uuid),
    equals(sql`r.flow_id`, q.target),
    equals(sql`r.stage_id`, q.stage),
    equals(sql`r."order"`, q.order),
    equals(sql`r.evaluate_on_plan`, q.evaluate_on_plan),
    equals(sql`r.re_evaluate_policies`, q.re_evaluate_policies),
    equals(sql`r.invalid_response_action`, q.invalid_response_action),
    equals(sql`r.policy_engine_mode`, q.policy_engine_mode),
    // No policy but users and groups can be bound, and those are not named here.
    q.policies === undefined ? undefined : sql<boolean>`false`,
    containsText([sql`w.name`, sql`s.name`], q.search),
  ])
}

export const flowBindingOrdering: Ordering = {
  target: sql`w.slug`,
  order: sql`r."order"`,
  stage: sql`s.name`,
  pk: sql`r.id`,
}
