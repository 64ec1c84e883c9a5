import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { type MediaAddresses, mediaAddresses } from '../media/media.sql.ts'
import { brandOf } from '../pages/brand.sql.ts'
import type { PolicyMode } from '../policies/bindings.sql.ts'
import type { Designation } from './default-flow.ts'

/** One stage of a flow as its binding has it. */
export interface Step {
  /** id of the binding, null = put there by code */
  binding: string | null
  type: string
  name: string
  config: Record<string, unknown>
  evaluate_on_plan: boolean
  re_evaluate_policies: boolean
  invalid_response_action: 'retry' | 'restart' | 'restart_with_context'
  policy_engine_mode: PolicyMode
  /** policies are bound to it */
  bound: boolean
  /** configuration of the password stage it asks on the same page */
  password: Record<string, unknown> | null
  /** slugs of the flows its configuration names, by id */
  flows: Record<string, string>
}

export interface Flow {
  id: string
  slug: string
  title: string
  designation: Designation
  background: string
  layout: string
  denied_action: 'message_continue' | 'message' | 'continue'
  authentication:
    | 'none'
    | 'require_authenticated'
    | 'require_unauthenticated'
    | 'require_superuser'
    | 'require_redirect'
    | 'require_outpost'
    | 'require_token'
  policy_engine_mode: PolicyMode
  version: number
  /** policies are bound to it */
  bound: boolean
  steps: Step[]
  brand_background: string
  /** of the files the backgrounds name */
  background_files: MediaAddresses
  setup_completed: boolean
  /** what the session has of this flow; null = nothing */
  plan: {
    id: string
    flow_version: number
    version: number
    position: number
    steps: Step[]
    context: { v?: number; sealed?: string }
  } | null
}

/** A flow with its stages and with the plan the session has of it, in one statement. */
export async function findFlow(
  db: Queryable,
  by: { slug: string } | { id: string },
  sessionId: string | null,
  hostname: string,
): Promise<Flow | undefined> {
  const condition = 'slug' in by ? sql`f.slug = ${by.slug}` : sql`f.id = ${by.id}`
  return db.first<Flow>(sql`
    select f.*, ${mediaAddresses(db, [sql`f.background`, sql`f.brand_background`])} as background_files from (
    select f.id, f.slug, f.title, f.designation, f.background, f.layout, f.denied_action, f.authentication, f.policy_engine_mode,
      f.version, ${hasPolicies(db, sql`f.id`)} as bound,
      coalesce((select b.branding_default_flow_background from ${brandOf(db, hostname)} b), '') as brand_background,
      coalesce((select i.setup_completed from ${db.t('installation')} i), false) as setup_completed,
      coalesce((
        select json_agg(json_build_object(
          'binding', b.id, 'type', s.type, 'name', s.name, 'config', s.config, 'evaluate_on_plan', b.evaluate_on_plan,
          're_evaluate_policies', b.re_evaluate_policies, 'invalid_response_action', b.invalid_response_action,
          'policy_engine_mode', b.policy_engine_mode, 'bound', ${hasPolicies(db, sql`b.id`)},
          'password', (select p.config from ${db.t('stages')} p
            where p.type = 'password' and p.id::text = s.config ->> 'password_stage'),
          'flows', coalesce((select json_object_agg(o.id, o.slug) from ${db.t('flows')} o
            where o.id::text in (s.config ->> 'enrollment_flow', s.config ->> 'recovery_flow')), '{}')
        ) order by b."order", b.id)
        from ${db.t('flow_stage_bindings')} b join ${db.t('stages')} s on s.id = b.stage_id where b.flow_id = f.id
      ), '[]') as steps,
      (select json_build_object('id', p.id, 'flow_version', p.flow_version, 'version', p.version, 'position', p.position,
          'steps', p.steps, 'context', p.context)
        from ${db.t('flow_plans')} p
        where p.flow_id = f.id and p.session_id = ${sessionId}::uuid and p.expires_at > now()) as plan
    from ${db.t('flows')} f where ${condition}) f`)
}

function hasPolicies(db: Queryable, id: ReturnType<typeof sql>) {
  return sql`exists (select from ${db.t('policy_bindings')} pb where pb.target_id = ${id} and pb.enabled)`
}

/** Name of the application behind an OAuth2 client id. */
export async function findApplicationName(db: Queryable, clientId: string): Promise<string | undefined> {
  const row = await db.first<{ name: string }>(sql`
    select a.name from ${db.t('applications')} a
    join ${db.t('oauth2_providers')} o on o.provider_id = a.provider_id where o.client_id = ${clientId}`)
  return row?.name
}
