// Flows: signing in and out, consent, set-up. A flow is a list of stages; a browser goes through it with a plan, one row of `flow_plans`,
// and the dispatcher in advance.ts says what comes next. planning.ts decides who may begin, executor.ts serves one request, one file
// stage-….ts each knows what one stage asks and how it judges the answer; stages.ts lists their kinds.
//
// Owns `/api/v3/flows/executor/…`, the tables flow_plans and user_consents. Another room enters by `startFlow` (start.ts) and gets the
// browser back through the end it registers here. Who somebody is comes from users/, sessions are begun and ended by sessions/login.ts.
import type { FastifyRequest } from 'fastify'
import type { Core } from '../core.ts'
import type { BrowserSession } from '../sessions/principal.ts'
import type { FlowEnd, JsonObject, PlanContext } from './plan.ts'
import { FlowBroken, type Visit } from './stage.ts'

/**
 * What is done once, after the last stage. `data` is what the plan was made with.
 * @returns where the browser goes
 */
export type FlowEndHandler = (
  core: Core,
  request: FastifyRequest,
  /** as it is after the last stage; null when the flow signed out */
  session: BrowserSession | null,
  data: JsonObject,
  planContext: PlanContext,
) => Promise<{ to: string }>

export interface Flows {
  core: Core
  ends: Record<string, FlowEndHandler>
}

/** @param options.ends by `FlowEnd.kind`; `redirect` (`{ to }`) is known without */
export function createFlows(options: { core: Core; ends: Record<string, FlowEndHandler> }): Flows {
  return { core: options.core, ends: { redirect, ...options.ends } }
}

const redirect: FlowEndHandler = async (_core, _request, _session, data) => {
  if (typeof data.to !== 'string') throw new Error('a flow that ends in a redirect needs `to`')
  return { to: data.to }
}

/**
 * Does what the plan was made for.
 * @returns where the browser goes
 */
export async function runEnd(flows: Flows, visit: Visit, end: FlowEnd): Promise<string> {
  const handler = Object.hasOwn(flows.ends, end.kind) ? flows.ends[end.kind] : undefined
  if (handler === undefined) throw new FlowBroken(`nothing is registered for the end "${end.kind}" of a flow`)
  const { core, request, session, plan } = visit
  return (await handler(core, request, session, end.data, plan.context)).to
}
