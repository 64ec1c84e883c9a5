// /application/o/<slug>/end-session/ (OpenID Connect RP-Initiated Logout): an application asks for the end of a session. What ends is
// decided by the provider's invalidation flow; who asks without a token of that session makes us ask the user first.
import { timingSafeEqual } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { loadSession } from '../access.ts'
import type { Core } from '../core.ts'
import { sendPage } from '../pages/page.ts'
import { sidOf } from '../sessions/cookie.ts'
import type { BrowserSession } from '../sessions/principal.ts'
import { subOf } from './claims.ts'
import { verifyOwnJwt } from './keys.ts'
import { type Parameters, readParameters } from './parameters.ts'
import { loadProvider, type Provider } from './provider.ts'
import { isRegisteredUri } from './redirect-uri.ts'
import type { Oidc } from './room.ts'
import { signedOutPath, unknownApplication } from './signed-out.ts'
import { revokeOfSession } from './tokens.sql.ts'
import { issuerOf } from './urls.ts'

const pathOf = (slug: string) => `/application/o/${slug}/end-session/`
const confirmField = 'confirm'

/** GET and POST; a POST that is not our own confirmation comes back as a GET, since it carries no session cookie when cross-site. */
export async function endSession(
  oidc: Oidc,
  request: FastifyRequest<{ Params: { slug: string } }>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { core } = oidc
  const { slug } = request.params
  const parameters = readParameters(request.method === 'POST' ? request.body : request.query)
  const confirmation = request.method === 'POST' ? parameters.get(confirmField) : undefined
  if (request.method === 'POST' && confirmation === undefined) return asGet(reply, slug, parameters)
  const provider = await loadProvider(core, core.db, { slug })
  if (provider === undefined) return unknownApplication(reply)
  const asked = await readRequest(core, provider, parameters)
  if ('problem' in asked) return refuse(reply, asked.problem)
  const session = await loadSession(core, request)
  if (session === null || session.principal === null)
    return leave(reply, asked.returnTo ?? signedOutPath(slug))
  const confirmed =
    confirmation !== undefined &&
    confirmationMatches(core, provider, session, confirmation, isOurs(core, request))
  if (!confirmed && !namesSession(provider, asked.hint, session))
    return askFirst(core, reply, provider, session, parameters, asked.returnTo)
  const { application } = provider
  const returnTo = asked.returnTo ?? signedOutPath(slug)
  const { url } = await oidc.startFlow(request, reply, {
    flowId: provider.invalidationFlowId,
    application: { id: application.id, name: application.name, slug: application.slug },
    end: { kind: 'oauth2_end_session', data: { slug, session_id: session.id, to: returnTo } },
  })
  if (url === null) return refuse(reply, 'Signing out is not possible for this account.')
  return leave(reply, url)
}

/** The end of an invalidation flow: the application's tokens of the session end, if the session itself has not. */
export async function endInvalidation(
  core: Core,
  _request: FastifyRequest,
  _session: BrowserSession | null,
  data: Record<string, unknown>,
): Promise<{ to: string }> {
  const provider = await loadProvider(core, core.db, { slug: String(data.slug) })
  if (provider !== undefined)
    await revokeOfSession(core.db, { providerId: provider.id, sessionId: String(data.session_id) })
  return { to: String(data.to) }
}

interface Hint {
  sid: unknown
  sub: unknown
}

interface EndRequest {
  /** from a token of ours; null = none that counts */
  hint: Hint | null
  /** with `state`; null = our own page */
  returnTo: string | null
}

async function readRequest(
  core: Core,
  provider: Provider,
  parameters: Parameters,
): Promise<EndRequest | { problem: string }> {
  if (parameters.faulty !== undefined) return { problem: 'The application sent a parameter twice.' }
  const clientId = parameters.get('client_id')
  if (clientId !== undefined && clientId !== provider.clientId)
    return { problem: 'The application named another client than its own.' }
  const hint = await readHint(core, provider, parameters.get('id_token_hint'))
  const uri = parameters.get('post_logout_redirect_uri')
  if (uri === undefined) return { hint, returnTo: null }
  if (hint === null)
    return { problem: 'The application asked to return somewhere without proving who it is.' }
  const allowed = isRegisteredUri(uri, provider.redirectUris, {
    type: 'logout',
    publicClient: provider.clientType === 'public',
  })
  if (!allowed)
    return { problem: 'The application asked to return to an address that is not registered for it.' }
  const state = parameters.get('state')
  const query = state === undefined ? '' : `${uri.includes('?') ? '&' : '?'}${new URLSearchParams({ state })}`
  return { hint, returnTo: uri + query }
}

/** An ID token of ours, or an access token, which outposts send; how old it is does not matter. */
async function readHint(core: Core, provider: Provider, jwt: string | undefined): Promise<Hint | null> {
  const claims = jwt === undefined ? undefined : await verifyOwnJwt(provider, jwt)
  if (claims === undefined) return null
  const audience = Array.isArray(claims.aud) ? claims.aud : [claims.aud]
  const issuer = issuerOf(core.baseUrl, provider.application.slug, provider.issuerMode)
  if (claims.iss !== issuer || !audience.includes(provider.clientId)) return null
  return { sid: claims.sid, sub: claims.sub }
}

function namesSession(provider: Provider, hint: Hint | null, session: BrowserSession): boolean {
  if (hint === null || session.principal === null) return false
  return hint.sid === sidOf(session.id) || hint.sub === subOf(provider.subMode, session.principal)
}

function askFirst(
  core: Core,
  reply: FastifyReply,
  provider: Provider,
  session: BrowserSession,
  parameters: Parameters,
  returnTo: string | null,
): FastifyReply {
  const { slug, name } = provider.application
  const fields = Object.fromEntries(parameters.entries.filter(([field]) => field !== confirmField))
  return sendPage(reply, {
    status: 200,
    title: 'Sign out?',
    paragraphs: [
      `${name} asks you to sign out. You are signed in as ${session.principal?.user.username ?? ''}.`,
    ],
    form: {
      action: pathOf(slug),
      fields: { ...fields, [confirmField]: confirmationOf(core, provider, session).toString('base64url') },
      submit: 'Sign out',
      leadsTo: sourceOf(returnTo),
    },
    actions: [{ label: 'Stay signed in', href: '/if/user/' }],
  })
}

/** As a content security policy names it. */
function sourceOf(uri: string | null): string | undefined {
  const url = uri === null ? null : URL.parse(uri)
  if (url === null) return undefined
  return url.origin === 'null' ? url.protocol : url.origin
}

/** Bound to session and application, so that only a page we gave to this browser can hold it. */
function confirmationOf(core: Core, provider: Provider, session: BrowserSession): Buffer {
  return core.secrets.mac('end session', `${session.keyHash.toString('hex')}\n${provider.id}`)
}

function confirmationMatches(
  core: Core,
  provider: Provider,
  session: BrowserSession,
  given: string,
  ours: boolean,
): boolean {
  const expected = confirmationOf(core, provider, session)
  const bytes = Buffer.from(given, 'base64url')
  return ours && bytes.length === expected.length && timingSafeEqual(bytes, expected)
}

/** A form of a page of ours says so in `Origin`, or a browser that sends none in `Sec-Fetch-Site`. */
function isOurs(core: Core, request: FastifyRequest): boolean {
  const { origin } = request.headers
  if (origin === undefined || origin === 'null')
    return (request.headers['sec-fetch-site'] ?? 'same-origin') === 'same-origin'
  return origin === core.baseUrl.origin || origin === `${request.client.scheme}://${request.client.host}`
}

function asGet(reply: FastifyReply, slug: string, parameters: Parameters): FastifyReply {
  const query = new URLSearchParams(parameters.entries).toString()
  if (parameters.faulty !== undefined || query.length > 8192)
    return refuse(reply, 'The application sent a malformed request.')
  return leave(reply, `${pathOf(encodeURIComponent(slug))}${query === '' ? '' : `?${query}`}`, 303)
}

function leave(reply: FastifyReply, url: string, status = 302): FastifyReply {
  return reply
    .header('Cache-Control', 'no-store')
    .header('Referrer-Policy', 'no-referrer')
    .redirect(url, status)
}

function refuse(reply: FastifyReply, sentence: string): FastifyReply {
  return sendPage(reply, {
    status: 400,
    title: 'This sign-out link does not work',
    code: 'invalid_request',
    paragraphs: [sentence, 'You were not signed out.'],
    actions: [{ label: 'Your applications', href: '/if/user/' }],
  })
}
