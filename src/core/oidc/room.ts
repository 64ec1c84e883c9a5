// What the endpoints of this room are given besides Core: the way into a flow, and the counters of failures.
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../core.ts'
import type { FlowStart, FlowStarted } from '../flows/start.ts'
import type { FailureLimit } from './failure-limit.ts'

export interface Oidc {
  core: Core
  startFlow(request: FastifyRequest, reply: FastifyReply, start: FlowStart): Promise<FlowStarted>
  limit: FailureLimit
  /** provider id → time in ms of the last event about a wrong redirect URI */
  lastMismatchEvents: Map<number, number>
}
