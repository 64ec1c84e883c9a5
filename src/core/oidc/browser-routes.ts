// Endpoints a browser visits: answered with redirects and pages, whatever goes wrong.
import type { FastifyInstance } from 'fastify'
import { requireKnownHost } from '../pages/known-host.ts'
import { answerBrowser, splitQuery } from '../pages/problem-page.ts'
import { authorizeGet, authorizePost } from './authorize.ts'
import { endSession } from './end-session.ts'
import type { Oidc } from './room.ts'
import { signedOut } from './signed-out.ts'

type BySlug = { Params: { slug: string } }

/** Mounts authorize, end-session and the page after it. */
export function browserRoutes(app: FastifyInstance, oidc: Oidc): void {
  const browser = { config: { access: 'public' as const }, exposeHeadRoute: false }
  app.setErrorHandler((error, request, reply) => answerBrowser(oidc.core, error, request, reply))
  app.addHook('preHandler', request => requireKnownHost(oidc.core, request))
  app.get('/application/o/authorize/', browser, (request, reply) => authorizeGet(oidc, request, reply))
  app.post('/application/o/authorize/', browser, (request, reply) => authorizePost(request, reply))
  app.get<BySlug>('/application/o/:slug/end-session/', browser, (request, reply) =>
    endSession(oidc, request, reply),
  )
  app.post<BySlug>('/application/o/:slug/end-session/', browser, (request, reply) =>
    endSession(oidc, request, reply),
  )
  app.get<BySlug>('/application/o/:slug/signed-out/', browser, (request, reply) =>
    signedOut(oidc, request, reply),
  )
  for (const path of ['/application/o/authorize', '/application/o/:slug/end-session', '/application/o/:slug'])
    app.get(path, browser, (request, reply) => {
      const [bare, query] = splitQuery(request.url)
      return reply.redirect(`${bare}/${query}`, 308)
    })
}
