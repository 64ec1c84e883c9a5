// What a stage is: it gives a challenge, judges an answer, and says so. Stages return to the dispatcher and never know each other.
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../core.ts'
import type { BrowserSession } from '../sessions/principal.ts'
import type { Challenge, FieldErrors } from './challenge.ts'
import type { Flow, Step } from './flows.sql.ts'
import type { Plan, PlanContext } from './plan.ts'

/** A browser in a flow, while one request is served; `session` and `plan` change meanwhile. */
export interface Visit {
  core: Core
  request: FastifyRequest
  flow: Flow
  /** parameters of the page's address */
  query: URLSearchParams
  session: BrowserSession | null
  plan: Plan
}

/** A visit that may set cookies. */
export interface Turn extends Visit {
  reply: FastifyReply
}

export type Entered =
  /** shown until it is answered */
  | { kind: 'ask'; challenge: Challenge }
  /** did what it is for; the next stage follows */
  | { kind: 'done' }
  | { kind: 'deny'; message: string }

export type Judged =
  | { kind: 'pass'; context?: Partial<PlanContext> }
  | { kind: 'again'; errors: FieldErrors; context?: Partial<PlanContext> }
  | { kind: 'deny'; message: string }

export interface Stage<Config> {
  /** the only `component` whose POST it judges */
  component: string
  /** True = nothing to ask and nothing to do for this visitor. Must change nothing. */
  passes?(visit: Visit, config: Config, step: Step): Promise<boolean> | boolean
  /** Asked at every GET as well: what it does must be safe to ask for, and done once only. */
  enter(turn: Turn, config: Config, step: Step): Promise<Entered> | Entered
  answer?(turn: Turn, config: Config, body: Record<string, unknown>, step: Step): Promise<Judged>
}

/** A stage whose configuration was checked by the dispatcher against the schema of its type. */
export type AnyStage = Stage<Record<string, unknown>>

export function defineStage<Config>(stage: Stage<Config>): AnyStage {
  return stage as unknown as AnyStage
}

/** Somebody else answered first: what this request decided on is not so any more. */
export class PlanMoved extends Error {
  constructor() {
    super('the plan was changed by another request')
    this.name = 'PlanMoved'
  }
}

/** The flow cannot go on as it is configured; it ends with an error, because a stage is never skipped for one. */
export class FlowBroken extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'FlowBroken'
  }
}
