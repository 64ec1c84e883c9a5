// Who asks, and may they: decided before a handler runs. Each route says so in `config.access`; one that does not is refused at
// registration, so nothing is open by forgetting.
import type { FastifyRequest } from 'fastify'
import type { PublicRequest } from '../http/trusted-peers.ts'
import type { Caller } from './api/read-after.ts'
import type { Core } from './core.ts'
import { csrfCookieName, csrfHeaderName, csrfProblem } from './csrf.ts'
import { ApiError, notAuthenticated, permissionDenied } from './errors.ts'
import { sha256 } from './secrets.ts'
import { sessionCookieName, sessionKeyHash } from './sessions/cookie.ts'
import type { BrowserSession, Principal } from './sessions/principal.ts'
import { findBearer, findSession, touchSession, touchToken } from './sessions/sessions.sql.ts'

/**
 * `public`: anybody, nothing is loaded until asked. `authenticated`: any user. `{ permission }`: held on every object. `{ object }`:
 * any user may call, the handler's statement sees only objects on which the permission is held (`visibleTo`). `{ by }`: the handler
 * states its own rule, named here.
 */
export type Access = 'public' | 'authenticated' | { permission: string } | { object: string } | { by: string }

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access
    /** true for endpoints that take no cookie at all (token endpoint and the like): no CSRF check */
    cookieless?: boolean
  }
  interface FastifyRequest {
    /** scheme, host and client address as established once, at the edge */
    client: PublicRequest
    /** set by the access check; null on public routes until `loadSession` was called */
    principal: Principal | null
    browserSession: BrowserSession | null
    /** session or API token that was accepted; null for other credentials */
    caller: Caller | null
    /** undefined until read once */
    sessionLookup: Promise<BrowserSession | null> | undefined
    cookie(name: string): string | undefined
  }
}

/** preHandler hook: establishes the principal and applies the route's rule. */
export async function checkAccess(core: Core, request: FastifyRequest): Promise<void> {
  const access = request.routeOptions.config.access
  if (access === undefined || access === 'public') return
  const authorization = request.headers.authorization
  if (authorization?.includes(' ')) await authenticateBearer(core, request, authorization)
  else await authenticateCookie(core, request)
  if (request.principal === null) throw notAuthenticated()
  if (typeof access === 'object' && 'permission' in access) {
    const { isSuperuser, permissions } = request.principal
    if (!isSuperuser && !permissions.has(access.permission)) throw permissionDenied()
  }
}

async function authenticateBearer(core: Core, request: FastifyRequest, header: string): Promise<void> {
  const [scheme = '', key = ''] = header.trim().split(/ +/, 2)
  if (scheme.toLowerCase() !== 'bearer') throw notAuthenticated('Unsupported authentication type')
  if (key === '') throw notAuthenticated('Malformed header')
  const found = await findBearer(core.db, sha256(key))
  if (found === undefined) throw notAuthenticated('Token invalid/expired')
  request.principal = found.principal
  if (found.tokenId !== null) request.caller = callerOf('tokens', found.tokenId, found)
  if (found.tokenId !== null && isLongAgo(found.lastUsedAt)) await touchToken(core.db, found.tokenId)
}

async function authenticateCookie(core: Core, request: FastifyRequest): Promise<void> {
  const session = await loadSession(core, request)
  request.principal = session?.principal ?? null
  if (session !== null) request.caller = callerOf('sessions', session.id, session)
  if (session !== null && !isSafe(request.method)) requireCsrf(core, request, session.keyHash)
}

function callerOf(
  table: Caller['table'],
  id: string,
  { readAfter, createdAt }: Pick<Caller, 'readAfter' | 'createdAt'>,
): Caller {
  return { table, id, readAfter, createdAt }
}

/** The browser's session (anonymous ones too), or null; one statement per request however often it is asked. */
export function loadSession(core: Core, request: FastifyRequest): Promise<BrowserSession | null> {
  request.sessionLookup ??= (async () => {
    const hash = sessionKeyHash(request.cookie(sessionCookieName) ?? '')
    const session = hash === null ? undefined : await findSession(core.db, hash)
    request.browserSession = session ?? null
    if (session !== undefined && isLongAgo(session.lastUsedAt))
      await touchSession(
        core.db,
        session.id,
        request.client.clientAddress,
        (request.headers['user-agent'] ?? '').slice(0, 512),
      )
    return session ?? null
  })()
  return request.sessionLookup
}

/** The use of a session or token is written down once a minute. */
function isLongAgo(lastUsedAt: Date | null): boolean {
  return lastUsedAt === null || Date.now() - lastUsedAt.getTime() > 60_000
}

/** @throws ApiError 403 when an unsafe request does not come from a page of ours */
export function requireCsrf(core: Core, request: FastifyRequest, keyHash: Buffer | null): void {
  const header = request.headers[csrfHeaderName]
  const problem = csrfProblem(core.secrets, {
    header: typeof header === 'string' ? header : undefined,
    cookie: request.cookie(csrfCookieName),
    sessionKeyHash: keyHash,
    origin: request.headers.origin,
    secFetchSite: firstText(request.headers['sec-fetch-site']),
    ownOrigin: `${request.client.scheme}://${request.client.host}`,
  })
  if (problem === null) return
  core.log.warning('CSRF check failed', {
    request_id: request.id,
    problem,
    remote: request.client.clientAddress,
  })
  throw new ApiError(403, 'CSRF verification failed. Reload the page and try again.', { code: 'csrf_failed' })
}

function isSafe(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS'
}

function firstText(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}

/** The principal of a route that requires one. */
export function principalOf(request: FastifyRequest): Principal {
  if (request.principal === null) throw notAuthenticated()
  return request.principal
}
