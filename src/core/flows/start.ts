// How other rooms put a browser into a flow: with what it is for, and what happens at its end.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { loadSession } from '../access.ts'
import type { Core } from '../core.ts'
import { hostnameOf } from '../pages/known-host.ts'
import { nextStep, stageOf } from './advance.ts'
import { findFlow, type Step } from './flows.sql.ts'
import { type Flows, runEnd } from './flows.ts'
import { safeNext } from './next.ts'
import { type FlowApplication, type FlowEnd, type Permission, type PlanContext, planRow } from './plan.ts'
import { planAnew } from './planning.ts'
import { insertPlan } from './plans.sql.ts'
import type { Turn } from './stage.ts'

export interface FlowStart {
  flowId: string
  end: FlowEnd
  /** JSON for the end's handler, which finds it in `planContext.extra` */
  context?: Record<string, unknown>
  /** shown in titles; `consent` brings its own */
  application?: FlowApplication
  /** makes an authentication flow run although somebody is signed in */
  reauthenticate?: boolean
  consent?: {
    application: FlowApplication
    /** sentence above the permissions; empty = the usual one */
    header: string
    permissions: Permission[]
    /** asks even what was granted before, also in a flow without a consent stage */
    mode?: 'always_require'
  }
  /** nothing may be asked (`prompt=none`): then no plan is made, and `asked` says what would have been */
  passive?: boolean
}

/**
 * Where to send the browser. `asked` is null when the flow asks nothing and its end has been run; else the `component` of the stage it
 * waits at, also of one that only does something. Without a URL the flow cannot be run by this visitor, or would have asked in vain.
 */
export type FlowStarted =
  | { url: string; asked: string | null }
  | { url: null; asked: string; denied?: string }

/**
 * Puts a plan into the browser's session, in the place of any it has of this flow. A flow that has nothing to ask and nothing to do ends
 * at once, without a row.
 * @throws Error for an unknown flow, and when a browser without a session would need one to remember `end`
 */
export async function startFlow(
  core: Core,
  flows: Flows,
  request: FastifyRequest,
  reply: FastifyReply,
  start: FlowStart,
): Promise<FlowStarted> {
  const session = await loadSession(core, request)
  const hostname = hostnameOf(request.client.host)
  const flow = await findFlow(core.db, { id: start.flowId }, session?.id ?? null, hostname)
  if (flow === undefined) throw new Error(`there is no flow ${start.flowId}`)
  const plan = {
    row: null,
    position: 0,
    steps: withForcedConsent(flow.steps, start),
    context: contextOf(start),
  }
  const turn: Turn = { core, request, reply, flow, query: new URLSearchParams(), session, plan }

  const planned = await planAnew(turn)
  if (planned.kind === 'elsewhere') return { url: planned.to, asked: null }
  if (planned.kind === 'deny') return { url: null, asked: 'ak-stage-access-denied', denied: planned.message }
  const step = await nextStep(turn)
  if (step === undefined) return { url: await runEnd(flows, turn, start.end), asked: null }
  const asked = stageOf(step).stage.component
  if (start.passive === true) return { url: null, asked }
  const page = `/if/flow/${flow.slug}/`
  if (session !== null) {
    await insertPlan(core.db, planRow(core.secrets, core.now(), session.id, flow, turn.plan), true)
    return { url: page, asked }
  }
  const { to } = start.end.data
  if (start.end.kind !== 'redirect' || typeof to !== 'string' || safeNext(to) === null)
    throw new Error('a browser without a session can only be sent into a flow that ends at a path of ours')
  return { url: `${page}?next=${encodeURIComponent(to)}`, asked }
}

function contextOf({ context, consent, application, reauthenticate, end }: FlowStart): PlanContext {
  return {
    end: { kind: end.kind, data: asJson(end.data) },
    reauthenticate,
    application: consent?.application ?? application,
    consent:
      consent === undefined
        ? undefined
        : {
            header: consent.header,
            permissions: consent.permissions,
            always: consent.mode === 'always_require',
          },
    extra: context === undefined ? undefined : asJson(context),
  }
}

/** As it will be read back, so that an end that runs at once sees the same as one that runs later. */
function asJson(value: Record<string, unknown>): FlowEnd['data'] {
  return JSON.parse(JSON.stringify(value))
}

/** A flow that asks nothing asks for consent all the same when the request insists. */
function withForcedConsent(configured: Step[], { consent }: FlowStart): Step[] {
  if (consent?.mode !== 'always_require' || configured.some(step => step.type === 'consent'))
    return configured
  const step: Step = {
    binding: null,
    type: 'consent',
    name: 'consent asked for by the request',
    config: { mode: 'always_require', consent_expire_in: 'weeks=4' },
    evaluate_on_plan: false,
    re_evaluate_policies: false,
    invalid_response_action: 'retry',
    policy_engine_mode: 'any',
    bound: false,
    password: null,
    flows: {},
  }
  return [...configured, step]
}
