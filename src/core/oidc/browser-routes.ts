// Endpoints a browser visits: answered with redirects and pages, whatever goes wrong.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { errorText } from '../../log.ts'
import { isUnavailable } from '../../pg/errors.ts'
import type { Core } from '../core.ts'
import { ApiError } from '../errors.ts'
import { findBrand } from '../pages/brand.sql.ts'
import { hostnameOf, isKnownHost } from '../pages/known-host.ts'
import { authorizeGet, authorizePost } from './authorize.ts'
import { endSession, signedOut } from './end-session.ts'
import { sendPage } from './page.ts'
import type { Oidc } from './room.ts'

type BySlug = { Params: { slug: string } }

/** Mounts authorize, end-session and the page after it. */
export function browserRoutes(app: FastifyInstance, oidc: Oidc): void {
  const browser = { config: { access: 'public' as const }, exposeHeadRoute: false }
  app.setErrorHandler((error, request, reply) => answerBrowser(oidc.core, error, request, reply))
  app.addHook('preHandler', (request, reply) => refuseForeignHost(oidc.core, request, reply))
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
      const [bare = '', query] = splitOnce(request.url, '?')
      return reply.redirect(`${bare}/${query === undefined ? '' : `?${query}`}`, 308)
    })
}

/** Under a name that is not ours a page would lend our look and our cookies to a stranger's address. */
async function refuseForeignHost(
  core: Core,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply | undefined> {
  const { host } = request.client
  if (isKnownHost(host, core.baseUrl, false)) return undefined
  const brand = await findBrand(core.db, hostnameOf(host))
  if (isKnownHost(host, core.baseUrl, brand?.matched ?? false)) return undefined
  return sendPage(reply, {
    status: 421,
    title: 'Not at this address',
    paragraphs: [
      'This server does not answer to the host name in the address bar.',
      `Administrators: set POSTERN_BASE_URL to the address people use (it is ${core.baseUrl.origin}), or give the name to a brand.`,
    ],
  })
}

/** A person sees a page, whatever failed. */
function answerBrowser(
  core: Core,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const home = [{ label: 'Your applications', href: '/if/user/' }]
  if (error instanceof ApiError)
    return sendPage(reply, {
      status: error.status,
      title: 'That did not work',
      paragraphs: [error.message],
      actions: home,
    })
  if (isUnavailable(error)) {
    core.log.warning('database unavailable', { request_id: request.id, error: errorText(error) })
    reply.header('Retry-After', '2')
    return sendPage(reply, {
      status: 503,
      title: 'Just a moment',
      paragraphs: ['The service is not available right now. Please reload this page in a few seconds.'],
    })
  }
  const status = (error as { statusCode?: number }).statusCode ?? 500
  if (status >= 500)
    core.log.error('request failed', {
      request_id: request.id,
      method: request.method,
      path: request.url.split('?', 1)[0],
      error: errorText(error),
      stack: error instanceof Error ? error.stack : undefined,
    })
  return sendPage(reply, {
    status: status >= 400 && status < 500 ? status : 500,
    title: 'That did not work',
    paragraphs: ['Something went wrong here. The number below helps your administrator to find out what.'],
    actions: home,
  })
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator)
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)]
}
