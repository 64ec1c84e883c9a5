// `/api/v3/flows/executor/<slug>/`: what the flow page speaks. Open to everybody; what a visitor may do is the plan's business.
import type { FastifyReply, FastifyRequest } from 'fastify'
import Type from 'typebox'
import { requireCsrf } from '../access.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { ApiError } from '../errors.ts'
import { presentedKeyHash } from '../sessions/login.ts'
import { components } from './advance.ts'
import { type FlowRequest, judgeAnswer, showChallenge } from './executor.ts'
import type { Flows } from './flows.ts'

const parameters = Type.Object({ flow_slug: Type.String({ pattern: '^[-a-zA-Z0-9_]+$', maxLength: 255 }) })
const querystring = Type.Object({ query: Type.Optional(Type.String({ maxLength: 16_384 })) })
const challengeBody = Type.Object({ component: Type.String() }, { additionalProperties: true })

/** Registers GET (current challenge) and POST (answer). Both say the step counter in `X-Flow-Step`. */
export function registerFlowRoutes(app: CoreApp, core: Core, flows: Flows): void {
  const path = '/api/v3/flows/executor/:flow_slug/'
  app.get(
    path,
    {
      config: { access: 'public' },
      schema: {
        tags: ['flows'],
        operationId: 'flows_executor_get',
        params: parameters,
        querystring,
        response: { 200: challengeBody },
      },
    },
    (request, reply) => {
      refuseForeignFetch(request)
      return showChallenge(flowRequest(flows, request, reply, request.params.flow_slug, request.query.query))
    },
  )
  app.post(
    path,
    {
      config: { access: 'public' },
      schema: {
        tags: ['flows'],
        operationId: 'flows_executor_solve',
        params: parameters,
        querystring,
        body: Type.Object({ component: Type.Optional(Type.String()) }, { additionalProperties: true }),
        response: { 200: challengeBody },
      },
    },
    (request, reply) => {
      requireCsrf(core, request, presentedKeyHash(request))
      const { component } = request.body
      if (component !== undefined && !components.has(component))
        throw new ApiError(400, 'Unknown component.', { code: 'invalid' })
      const seen = request.headers['x-flow-step']
      const input = flowRequest(flows, request, reply, request.params.flow_slug, request.query.query)
      return judgeAnswer(input, request.body, typeof seen === 'string' ? seen : null)
    },
  )
}

function flowRequest(
  flows: Flows,
  request: FastifyRequest,
  reply: FastifyReply,
  slug: string,
  query: string | undefined,
): FlowRequest {
  return { flows, request, reply, slug, query: new URLSearchParams(query ?? '') }
}

/** A GET may sign out, so another site must not make the browser send it. `none` is the address bar. */
function refuseForeignFetch(request: FastifyRequest): void {
  const site = request.headers['sec-fetch-site']
  if (site === undefined || site === 'same-origin' || site === 'none') return
  throw new ApiError(403, 'This address is for the flow page only.', { code: 'cross_site' })
}
