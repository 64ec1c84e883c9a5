import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

/** A plan lives half an hour after its last answer. */
export const planLifetimeMs = 1_800_000

export interface PlanRow {
  sessionId: string
  flowId: string
  flowVersion: number
  position: number
  steps: unknown[]
  context: { v: number; sealed: string }
  expiresAt: Date
}

/** A session keeps this many; the one longest untouched goes first. */
const plansPerSession = 8

/**
 * Puts a plan into a session, in the place of an expired one or one of another version of the flow.
 * @param always in the place of any
 * @returns undefined when the session meanwhile has a plan of this flow
 */
export async function insertPlan(
  db: Queryable,
  p: PlanRow,
  always: boolean,
): Promise<{ id: string; version: number } | undefined> {
  return db.first(sql`
    with crowded as (
      delete from ${db.t('flow_plans')} where id in (
        select id from ${db.t('flow_plans')} where session_id = ${p.sessionId} and flow_id <> ${p.flowId}
        order by updated_at desc offset ${plansPerSession - 1})
    )
    insert into ${db.t('flow_plans')} as plan (session_id, flow_id, flow_version, position, steps, context, expires_at)
    values (${p.sessionId}, ${p.flowId}, ${p.flowVersion}, ${p.position}, ${JSON.stringify(p.steps)}, ${JSON.stringify(p.context)},
      ${p.expiresAt})
    on conflict (session_id, flow_id) do update set flow_version = excluded.flow_version, version = plan.version + 1,
      position = excluded.position, steps = excluded.steps, context = excluded.context, updated_at = now(),
      expires_at = excluded.expires_at
    where ${always} or plan.expires_at <= now() or plan.flow_version <> excluded.flow_version
    returning id, version`)
}

/**
 * Writes a plan if nobody has since it was read. A session in which nobody is signed in lives as long as its plan.
 * @returns the new version, undefined when the plan has moved on
 */
export async function updatePlan(
  db: Queryable,
  read: { id: string; version: number },
  p: PlanRow,
): Promise<number | undefined> {
  const row = await db.first<{ version: number }>(sql`
    with plan as (
      update ${db.t('flow_plans')} set version = version + 1, position = ${p.position}, steps = ${JSON.stringify(p.steps)},
        context = ${JSON.stringify(p.context)}, updated_at = now(), expires_at = ${p.expiresAt}
      where id = ${read.id} and version = ${read.version} returning version, session_id
    ), session as (
      update ${db.t('sessions')} s set expires_at = ${p.expiresAt} from plan where s.id = plan.session_id and s.user_id is null
    )
    select version from plan`)
  return row?.version
}

/** Takes a plan that is being finished. @returns false when somebody else has, or it has moved on */
export async function takePlan(db: Queryable, read: { id: string; version: number }): Promise<boolean> {
  return (
    (await db.count(
      sql`delete from ${db.t('flow_plans')} where id = ${read.id} and version = ${read.version}`,
    )) === 1
  )
}

/** Forgets what a session has of one flow, or of all. */
export async function dropPlans(db: Queryable, sessionId: string, slug: string | null): Promise<void> {
  await db.count(sql`
    delete from ${db.t('flow_plans')} p using ${db.t('flows')} f
    where f.id = p.flow_id and p.session_id = ${sessionId} and (${slug}::text is null or f.slug = ${slug})`)
}
