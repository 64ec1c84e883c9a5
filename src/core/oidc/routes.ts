// OAuth2 and OpenID Connect: applications let us say who somebody is.
//
// Owns every path under /application/o/ and the tables oauth_codes, oauth_access_tokens and oauth_refresh_tokens. A browser enters at
// `authorize` and `end-session`, which hand over to a flow and get it back through `oidcFlowEnds`; programs call the rest, with their own
// credentials and never with a cookie. Who a user is comes from sessions/, whether they may use an application from policies/. Flows
// without code (implicit, hybrid), device codes, token exchange and encrypted tokens are not spoken.
import type { FastifyInstance } from 'fastify'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import type { Flows } from '../flows/flows.ts'
import { startFlow } from '../flows/start.ts'
import { endAuthorize } from './authorize.ts'
import { browserRoutes } from './browser-routes.ts'
import { endInvalidation } from './end-session.ts'
import { createFailureLimit } from './failure-limit.ts'
import { programRoutes } from './program-routes.ts'
import type { Oidc } from './room.ts'

/** What the flows do at their end for this room: given to `createFlows` as it is. */
export const oidcFlowEnds = { oauth2_authorize: endAuthorize, oauth2_end_session: endInvalidation }

/** Mounts all endpoints of the provider. @param flows as made by `createFlows` with `oidcFlowEnds` among its ends */
export function registerOidcRoutes(app: CoreApp, core: Core, flows: Flows): void {
  const oidc: Oidc = {
    core,
    startFlow: (request, reply, start) => startFlow(core, flows, request, reply, start),
    limit: createFailureLimit({ limit: 20, windowMs: 60_000, now: () => core.now() }),
    lastMismatchEvents: new Map(),
  }
  app.register(async scope => browserRoutes(scope as unknown as FastifyInstance, oidc))
  app.register(async scope => programRoutes(scope as unknown as FastifyInstance, oidc))
}
