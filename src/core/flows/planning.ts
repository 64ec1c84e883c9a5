// The first look at a flow: may this visitor run it at all, and which of its stages?
import { notFound } from '../errors.ts'
import { mayAccess } from '../policies/bindings.ts'
import { isBound } from './advance.ts'
import { safeNext } from './next.ts'
import { openPlan, type PlanContext, purposeOf } from './plan.ts'
import type { Visit } from './stage.ts'

export type Planned =
  /** `visit.plan` is the plan to go on with */
  | { kind: 'planned' }
  /** nothing to do here */
  | { kind: 'elsewhere'; to: string }
  | { kind: 'deny'; message: string }

/** What the page's address asks for. */
export function contextOfQuery(query: URLSearchParams): PlanContext {
  const asked = query.get('next')
  if (asked === null || asked === '') return {}
  const next = safeNext(asked)
  return next === null ? { next_invalid: true } : { next }
}

/**
 * Takes up the plan the session has of the flow, if it was made for the flow as it is now, else makes a new one from the page's address
 * and what the former was made for. Nothing is stored.
 * @throws ApiError 404 for the initial set-up once that is over
 */
export async function planVisit(visit: Visit): Promise<Planned> {
  const { core, flow, session } = visit
  const stored = session === null ? null : openPlan(core.secrets, session.id, flow)
  if (stored !== null && flow.plan?.flow_version === flow.version) {
    visit.plan = stored
    return { kind: 'planned' }
  }
  const context = stored === null ? contextOfQuery(visit.query) : purposeOf(stored.context)
  visit.plan = { row: null, position: 0, steps: flow.steps, context }
  return planAnew(visit)
}

/** Checks requirement and policies for a plan at its beginning, and leaves out the stages that are judged at planning. */
export async function planAnew(visit: Visit): Promise<Planned> {
  const { core, flow, session, plan } = visit
  if (flow.setup_completed && flow.steps.some(step => step.type === 'initial_setup')) throw notFound()
  const { context } = plan
  const signedIn = session !== null && session.principal !== null
  if (flow.designation === 'authentication' && signedIn && context.reauthenticate !== true)
    return { kind: 'elsewhere', to: endWithoutStages(context) }
  if (flow.authentication === 'require_authenticated' && !signedIn)
    return { kind: 'elsewhere', to: loginPage(visit) }
  const met = meetsRequirement(visit)
  if (
    !met ||
    (flow.bound &&
      !(await mayAccess(core.db, session?.principal ?? null, flow.id, flow.policy_engine_mode)).passing)
  )
    return notApplicable(visit)
  const judgedNow = plan.steps.filter(
    step => step.bound && (step.evaluate_on_plan || !step.re_evaluate_policies),
  )
  for (const step of judgedNow) {
    if (!(await isBound(visit, step))) plan.steps = plan.steps.filter(other => other !== step)
  }
  return { kind: 'planned' }
}

function meetsRequirement({ flow, session, plan }: Visit): boolean {
  const principal = session?.principal ?? null
  switch (flow.authentication) {
    case 'none':
      return true
    case 'require_authenticated':
      return principal !== null
    case 'require_unauthenticated':
      return principal === null
    case 'require_superuser':
      return principal?.isSuperuser === true
    case 'require_redirect':
      return plan.context.end !== undefined
    // Neither outposts nor mailed links run flows here, so nobody meets these.
    case 'require_outpost':
    case 'require_token':
      return false
  }
}

function notApplicable({ flow, plan }: Visit): Planned {
  const { next } = plan.context
  if (flow.denied_action !== 'message' && next !== undefined) return { kind: 'elsewhere', to: next }
  if (flow.denied_action === 'continue') return { kind: 'elsewhere', to: '/' }
  return { kind: 'deny', message: 'Flow does not apply to current user.' }
}

/** Back to this very page afterwards. */
function loginPage({ flow, query }: Visit): string {
  const text = query.toString()
  const page = `/if/flow/${flow.slug}/${text === '' ? '' : `?${text}`}`
  return `/flows/-/default/authentication/?next=${encodeURIComponent(page)}`
}

function endWithoutStages({ end, next }: PlanContext): string {
  const to = end?.kind === 'redirect' ? end.data.to : undefined
  return typeof to === 'string' ? to : (next ?? '/')
}
