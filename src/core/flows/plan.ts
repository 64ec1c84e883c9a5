// A plan: how far a browser has come in a flow. Its context is sealed and bound to session and flow, so that who writes to the table
// cannot make anybody authenticated.
import type { Secrets } from '../secrets.ts'
import type { Flow, Step } from './flows.sql.ts'
import type { PlanRow } from './plans.sql.ts'
import { planLifetimeMs } from './plans.sql.ts'

export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject
export interface JsonObject {
  [key: string]: JsonValue
}

/** What happens when all stages are done. `redirect` is known here, the other kinds to whoever made the plan. */
export interface FlowEnd {
  kind: string
  data: JsonObject
}

/** Who is signing in. `id` null = nobody has the name, and nobody is told. */
export interface PendingUser {
  id: number | null
  /** what was typed */
  identifier: string
  /** what is shown: the same, or the name of the account where it may be shown */
  shown: string
}

export interface FlowApplication {
  id: string
  name: string
  slug: string
}

export interface Permission {
  id: string
  name: string
}

export interface PlanContext {
  /** path of this origin, from the page's address */
  next?: string
  /** the page's address named a target that must not be followed */
  next_invalid?: boolean
  end?: FlowEnd
  /** signs in although somebody is signed in */
  reauthenticate?: boolean
  application?: FlowApplication
  consent?: { header: string; permissions: Permission[]; always: boolean }
  pending_user?: PendingUser
  /** proven for `pending_user` in this plan */
  auth_method?: string
  auth_args?: JsonObject
  failed_attempts?: number
  deny_message?: string
  /** of whoever made the plan */
  extra?: JsonObject
}

export interface Plan {
  /** null = not stored yet */
  row: { id: string; version: number } | null
  position: number
  steps: Step[]
  context: PlanContext
}

const contextVersion = 1

/** The stored form of a plan. */
export function planRow(secrets: Secrets, now: Date, sessionId: string, flow: Flow, plan: Plan): PlanRow {
  const text = JSON.stringify({ session: sessionId, flow: flow.id, context: plan.context })
  return {
    sessionId,
    flowId: flow.id,
    flowVersion: flow.version,
    position: plan.position,
    steps: plan.steps,
    context: { v: contextVersion, sealed: secrets.seal('flow_plan', text).toString('base64') },
    expiresAt: new Date(now.getTime() + planLifetimeMs),
  }
}

/** @returns the plan the session has of this flow, of whatever version; null when there is none or it was not sealed by us for it */
export function openPlan(secrets: Secrets, sessionId: string, flow: Flow): Plan | null {
  const stored = flow.plan
  if (stored === null || stored.context.v !== contextVersion || stored.context.sealed === undefined)
    return null
  let opened: { session: string; flow: string; context: PlanContext }
  try {
    opened = JSON.parse(secrets.open('flow_plan', Buffer.from(stored.context.sealed, 'base64')))
  } catch {
    return null
  }
  if (opened.session !== sessionId || opened.flow !== flow.id) return null
  const { id, version, position, steps } = stored
  return { row: { id, version }, position, steps, context: opened.context }
}

/** What a plan was made for, without how far it came: kept when the flow has changed or starts again. */
export function purposeOf(context: PlanContext): PlanContext {
  const { next, next_invalid, end, reauthenticate, application, consent, extra } = context
  return { next, next_invalid, end, reauthenticate, application, consent, extra }
}
