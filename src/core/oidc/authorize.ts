// /application/o/authorize/ (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2). The order of the steps is the security argument: nothing is
// sent to a redirect URI before it is known to be the client's, nothing is asked of the user before the request is known to be sound,
// and after login or consent everything is checked again from scratch.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { loadSession } from '../access.ts'
import type { Core } from '../core.ts'
import { ApiError } from '../errors.ts'
import { defaultFlow } from '../flows/default-flow.ts'
import { hostnameOf } from '../pages/known-host.ts'
import { sendPage } from '../pages/page.ts'
import { mayAccess } from '../policies/bindings.ts'
import type { BrowserSession } from '../sessions/principal.ts'
import { codeUrl, errorUrl } from './answer.ts'
import { type AnswerTarget, type AuthorizeRequest, answerTarget, checkRequest } from './authorize-request.ts'
import { onRequest } from './claims.ts'
import { OAuthError } from './errors.ts'
import { isFresh, queryOf, queryWithNote } from './fresh-login.ts'
import { readParameters } from './parameters.ts'
import { findFlowId } from './provider.sql.ts'
import type { Oidc } from './room.ts'
import { refuseUntrusted } from './untrusted.ts'

const path = '/application/o/authorize/'

/** A longer request would not survive as a URL. */
const longestQuery = 8192

/** A cross-site POST arrives without the session cookie, so it comes back as a GET with the same parameters. */
export function authorizePost(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const parameters = readParameters(request.body)
  const query = new URLSearchParams(parameters.entries).toString()
  if (parameters.faulty !== undefined || query.length > longestQuery)
    return sendPage(reply, {
      status: 400,
      title: 'This sign-in link does not work',
      code: 'invalid_request',
      paragraphs: ['The application sent a request that is too long, or a parameter twice.'],
    })
  return leave(reply, `${path}?${query}`, 303)
}

/** Answers with a redirect: to a login, to a consent page, or to the client with a code or an error; else with a page. */
export async function authorizeGet(
  oidc: Oidc,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { core } = oidc
  const parameters = readParameters(request.query)
  const found = await answerTarget(core, parameters)
  if ('untrusted' in found) return refuseUntrusted(oidc, request, reply, found.untrusted)
  const { target } = found
  try {
    const authorize = checkRequest(target, parameters)
    const session = await loadSession(core, request)
    const next = await nextStep(oidc, request, reply, authorize, session)
    if (next.kind === 'denied') return sendDenied(core, reply, authorize, next.message)
    return leave(reply, next.url)
  } catch (error) {
    if (!(error instanceof OAuthError)) throw error
    core.log.info('authorization refused', {
      request_id: request.id,
      client_id: target.provider.clientId,
      error: error.code,
      description: error.message,
    })
    return leave(reply, errorUrl(core, target, error))
  }
}

type NextStep = { kind: 'go'; url: string } | { kind: 'denied'; message?: string }

/** Which step the browser goes to now. @throws OAuthError for the client */
async function nextStep(
  oidc: Oidc,
  request: FastifyRequest,
  reply: FastifyReply,
  authorize: AuthorizeRequest,
  session: BrowserSession | null,
): Promise<NextStep> {
  const { core } = oidc
  const { provider, prompt } = authorize
  const silent = prompt.has('none')
  const principal = session?.principal ?? null
  if (session === null || principal === null) {
    if (silent) throw new OAuthError('login_required', 'Nobody is signed in.')
    return { kind: 'go', url: loginUrl(core, authorize) }
  }
  const { application } = provider
  const access = await mayAccess(core.db, principal, application.id, application.policyEngineMode)
  if (!access.passing) {
    if (silent) throw new OAuthError('access_denied', 'The user may not use this application.')
    return { kind: 'denied' }
  }
  if (!isFresh(core, authorize, session)) {
    if (silent) throw new OAuthError('login_required', 'The last login is too long ago.')
    return { kind: 'go', url: await signInAgain(oidc, request, reply, authorize) }
  }
  passed.set(request, authorize)
  const shown = { id: application.id, name: application.name, slug: application.slug }
  const started = await oidc.startFlow(request, reply, {
    flowId: provider.authorizationFlowId,
    application: shown,
    consent: {
      application: shown,
      header: `You're about to sign into ${application.name}.`,
      permissions: permissionsOf(authorize),
      mode: mustAsk(authorize) ? 'always_require' : undefined,
    },
    end: {
      kind: 'oauth2_authorize',
      data: { query: queryOf(authorize.parameters), scopes: authorize.scopes },
    },
    passive: silent,
  })
  if (silent && started.asked !== null) throw notSilent(started.asked)
  if (started.url === null) return { kind: 'denied', message: started.denied }
  return { kind: 'go', url: started.url }
}

/**
 * Access that goes on without the user is asked for every time (OpenID Connect Core §11), and so is acting as the user here: who may
 * change one provider must not become, by a link an administrator opens, whoever opens it.
 */
function mustAsk({ prompt, scopes }: AuthorizeRequest): boolean {
  return prompt.has('consent') || scopes.some(scope => onRequest.has(scope))
}

function notSilent(component: string): OAuthError {
  if (component === 'ak-stage-consent')
    return new OAuthError('consent_required', 'The user would have to consent.')
  if (component === 'ak-stage-access-denied')
    return new OAuthError('access_denied', 'The user may not go on.')
  return new OAuthError('interaction_required', 'The user would have to be asked.')
}

/** A login although somebody is signed in; the same request follows it. */
async function signInAgain(
  oidc: Oidc,
  request: FastifyRequest,
  reply: FastifyReply,
  authorize: AuthorizeRequest,
): Promise<string> {
  const { core } = oidc
  const { application, authenticationFlow } = authorize.provider
  const slug = await defaultFlow(core.db, 'authentication', hostnameOf(request.client.host), null)
  const flowId = authenticationFlow?.id ?? (slug === undefined ? undefined : await findFlowId(core.db, slug))
  if (flowId === undefined) throw new OAuthError('server_error', 'There is no flow to sign in with.')
  const { url } = await oidc.startFlow(request, reply, {
    flowId,
    application: { id: application.id, name: application.name, slug: application.slug },
    reauthenticate: true,
    end: { kind: 'redirect', data: { to: `${path}?${queryWithNote(core, authorize.parameters)}` } },
  })
  if (url === null) throw new OAuthError('access_denied', 'The user may not sign in again.')
  return url
}

/** Requests whose checks passed a moment ago, so that a flow that asks nothing does not repeat them. */
const passed = new WeakMap<FastifyRequest, AuthorizeRequest>()

/**
 * The end of an authorization flow: everything is judged again, since time has passed, then the code is made.
 * @param data what the flow was started with
 */
export async function endAuthorize(
  core: Core,
  request: FastifyRequest,
  session: BrowserSession | null,
  data: Record<string, unknown>,
): Promise<{ to: string }> {
  const principal = session?.principal ?? null
  if (session === null || principal === null)
    throw new ApiError(403, 'Nobody is signed in.', { code: 'not_authenticated' })
  const known = passed.get(request)
  if (known !== undefined)
    return { to: await codeUrl(core, known, session, principal, request.client.clientAddress) }
  const parameters = readParameters(Object.fromEntries(new URLSearchParams(String(data.query))))
  const found = await answerTarget(core, parameters)
  if ('untrusted' in found) throw new ApiError(400, found.untrusted.sentence, { code: found.untrusted.code })
  try {
    const authorize = approved(checkRequest(found.target, parameters), data.scopes)
    const { id, policyEngineMode } = authorize.provider.application
    const access = await mayAccess(core.db, principal, id, policyEngineMode)
    if (!access.passing) throw new OAuthError('access_denied', 'The user may not use this application.')
    return { to: await codeUrl(core, authorize, session, principal, request.client.clientAddress) }
  } catch (error) {
    if (!(error instanceof OAuthError)) throw error
    return { to: errorUrl(core, found.target, error) }
  }
}

/**
 * What the provider has come to offer since the user was asked is not granted with what he was asked about.
 * @param asked scopes the flow was started with
 */
function approved(authorize: AuthorizeRequest, asked: unknown): AuthorizeRequest {
  const scopes = authorize.scopes.filter(scope => Array.isArray(asked) && asked.includes(scope))
  if (scopes.length === 0) throw new OAuthError('invalid_scope', 'None of the scopes is available any more.')
  return { ...authorize, scopes }
}

function loginUrl(core: Core, authorize: AuthorizeRequest): string {
  const { authenticationFlow } = authorize.provider
  const page =
    authenticationFlow === null ? '/flows/-/default/authentication/' : `/if/flow/${authenticationFlow.slug}/`
  return `${page}?${new URLSearchParams({ next: `${path}?${queryWithNote(core, authorize.parameters)}` })}`
}

/** What a consent page lists: the scopes that have a description. */
function permissionsOf({ provider, scopes }: AuthorizeRequest): { id: string; name: string }[] {
  return provider.mappings
    .filter(mapping => mapping.description !== '' && scopes.includes(mapping.scope_name))
    .map(mapping => ({ id: mapping.scope_name, name: mapping.description }))
}

function leave(reply: FastifyReply, url: string, status = 302): FastifyReply {
  return reply
    .header('Cache-Control', 'no-store')
    .header('Referrer-Policy', 'no-referrer')
    .redirect(url, status)
}

function sendDenied(core: Core, reply: FastifyReply, target: AnswerTarget, message?: string): FastifyReply {
  const { name } = target.provider.application
  return sendPage(reply, {
    status: 403,
    title: `You may not open ${name}`,
    code: 'access_denied',
    paragraphs: [
      message ?? 'Your account has no access to this application. An administrator can give it to you.',
    ],
    actions: [
      { label: 'Your applications', href: '/if/user/', primary: true },
      {
        label: `Back to ${name}`,
        href: errorUrl(
          core,
          target,
          new OAuthError('access_denied', 'The user may not use this application.'),
        ),
      },
    ],
  })
}
