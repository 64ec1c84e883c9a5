// The flow executor as the rest of Core sees it: Core, and what other rooms do when a flow they started is over.
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
