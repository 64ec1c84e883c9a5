// Endpoints programs call with their own credentials: answered with JSON, never reading a cookie.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../core.ts'
import { ApiError } from '../errors.ts'
import { remember } from '../remembered.ts'
import { presentedClient } from './client-auth.ts'
import { allowOrigin, answerPreflight } from './cors.ts'
import { discoveryOf } from './discovery.ts'
import { errorBody, OAuthError } from './errors.ts'
import { introspect } from './introspection.ts'
import { publicJwks } from './keys.ts'
import { type Parameters, readParameters } from './parameters.ts'
import type { RedirectUri } from './provider.sql.ts'
import { loadProvider, type Provider } from './provider.ts'
import { revoke } from './revocation.ts'
import type { Oidc } from './room.ts'
import { answerToken } from './token.ts'
import { userinfo } from './userinfo.ts'

type BySlug = { Params: { slug: string } }

const open = { access: 'public', cookieless: true } as const

/** Mounts token, introspection, revocation, userinfo, discovery and keys. */
export function programRoutes(app: FastifyInstance, oidc: Oidc): void {
  const { core } = oidc
  const config = { config: open }
  app.setErrorHandler((error, request, reply) => answerProgram(core, error, request, reply))
  app.addHook('onRequest', async (_request, reply) => {
    reply
      .header('Cache-Control', 'no-store')
      .header('Pragma', 'no-cache')
      .header('Referrer-Policy', 'no-referrer')
  })
  const cors = (request: FastifyRequest, reply: FastifyReply) => (provider: Pick<Provider, 'redirectUris'>) =>
    allowOrigin(request, reply, provider.redirectUris)
  app.post('/application/o/token/', config, (request, reply) =>
    limited(oidc, request, () => answerToken(core, request, cors(request, reply))),
  )
  app.post('/application/o/introspect/', config, request =>
    limited(oidc, request, () => introspect(core, request)),
  )
  app.post('/application/o/revoke/', config, async (request, reply) => {
    await limited(oidc, request, () => revoke(core, request, cors(request, reply)))
    return reply.code(200).send('')
  })
  app.route({
    method: ['GET', 'POST'],
    url: '/application/o/userinfo/',
    config: open,
    handler: (request, reply) => userinfo(core, request, cors(request, reply)),
  })
  for (const url of ['token', 'userinfo', 'revoke'].map(name => `/application/o/${name}/`))
    app.options(url, config, (request, reply) => answerPreflight(core, request, reply))
  metadataRoutes(app, core, cors)
}

type Cors = (request: FastifyRequest, reply: FastifyReply) => (of: Pick<Provider, 'redirectUris'>) => void

function metadataRoutes(app: FastifyInstance, core: Core, cors: Cors): void {
  const config = { config: open }
  const discovery = async (request: FastifyRequest<BySlug>, reply: FastifyReply) => {
    const metadata = await bySlug(core, request)
    cors(request, reply)(metadata)
    return metadata.discovery
  }
  app.get('/application/o/:slug/.well-known/openid-configuration', config, discovery)
  app.get('/.well-known/oauth-authorization-server/application/o/:slug/', config, discovery)
  app.get('/.well-known/oauth-authorization-server/application/o/:slug', config, discovery)
  app.get<BySlug>('/application/o/:slug/', config, async (request, reply) => {
    const { slug } = await bySlug(core, request)
    return reply.redirect(`/application/o/${slug}/.well-known/openid-configuration`, 302)
  })
  app.get<BySlug>('/application/o/:slug/jwks/', config, async (request, reply) => {
    const metadata = await bySlug(core, request)
    cors(request, reply)(metadata)
    return metadata.jwks
  })
}

/** What anybody may read about a provider. */
interface Metadata {
  slug: string
  discovery: Record<string, unknown>
  jwks: { keys: object[] }
  redirectUris: RedirectUri[]
}

/** @throws ApiError 404; that there is none is not remembered */
function bySlug(core: Core, request: FastifyRequest<BySlug>): Promise<Metadata> {
  const { slug } = request.params
  return remember(core.memory, 'oidc', slug, async () => {
    const provider = await loadProvider(core, core.db, { slug })
    if (provider === undefined) throw new ApiError(404, 'Not found.')
    return {
      slug: provider.application.slug,
      discovery: discoveryOf(core.baseUrl, provider),
      jwks: publicJwks(provider.signingKey),
      redirectUris: provider.redirectUris,
    }
  })
}

/** Wrong credentials count, per client and address, and per user name: outposts ask for many users from one address. */
async function limited<T>(oidc: Oidc, request: FastifyRequest, answer: () => Promise<T>): Promise<T> {
  const body = readParameters(request.body)
  const key = JSON.stringify([
    request.client.clientAddress,
    clientIdOf(request, body),
    body.get('username')?.slice(0, 200).toLowerCase(),
  ])
  oidc.limit.check(key)
  try {
    return await answer()
  } catch (error) {
    if (error instanceof OAuthError && isWrongCredential(error, body)) oidc.limit.failed(key)
    throw error
  }
}

function clientIdOf(request: FastifyRequest, body: Parameters): string {
  try {
    return presentedClient(request.headers.authorization, body).clientId.slice(0, 200)
  } catch {
    return ''
  }
}

function isWrongCredential(error: OAuthError, body: Parameters): boolean {
  const program = body.get('grant_type') === 'client_credentials' || body.get('grant_type') === 'password'
  return error.code === 'invalid_client' || (program && error.code === 'invalid_grant')
}

function answerProgram(
  core: Core,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const status = (error as { statusCode?: number }).statusCode
  const refused =
    error instanceof OAuthError
      ? error
      : status !== undefined && status >= 400 && status < 500
        ? new OAuthError('invalid_request', 'The request body cannot be read.', { cause: error })
        : undefined
  if (refused === undefined) throw error
  core.log.info('oauth request refused', {
    request_id: request.id,
    path: request.url.split('?', 1)[0],
    error: refused.code,
    description: refused.message,
    remote: request.client.clientAddress,
  })
  return reply.code(refused.status).headers(refused.headers).send(errorBody(refused, request.id))
}
