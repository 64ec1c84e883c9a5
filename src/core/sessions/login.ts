// The beginning and the end of a browser session: a new key at every login, the rows that hang on the old one gone in the same
// transaction, and the two cookies that go with it.
import { randomUUID } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { serializeCookie } from '../../http/cookies.ts'
import type { Queryable, Tx } from '../../pg/db.ts'
import type { Core } from '../core.ts'
import { csrfCookieName, isCsrfValue, newCsrfValue } from '../csrf.ts'
import { recordEvent } from '../events/record.ts'
import { newSessionKey, sessionCookieName, sessionKeyHash } from './cookie.ts'
import { deleteAnonymousSession, type LoginUser, markLogin, renewSession } from './login.sql.ts'
import type { BrowserSession } from './principal.ts'
import { sessionIdsOf } from './revoke.sql.ts'
import { endSessions } from './revoke.ts'
import { findSession, insertSession } from './sessions.sql.ts'

/** Server-side end of a session whose cookie lives until the browser is closed. */
const openEndedMs = 86_400_000
/** It also ends when it was not used for so long. */
const openEndedIdleSeconds = 43_200

export interface Login {
  userId: number
  /** `password`, `token`, … */
  authMethod: string
  authArgs: Record<string, unknown>
  /** 0 = until the browser is closed, at most a day, and at most half a day without use */
  durationMs: number
  /** ends the user's sessions in other browsers */
  terminateOthers: boolean
  /** runs first in the transaction; false = somebody else was faster, nothing happens */
  claim(tx: Queryable): Promise<boolean>
}

/** `moved`: the claim was lost. `refused`: the user is gone or not active any more. */
export type LoginResult = { session: BrowserSession } | 'moved' | 'refused'

/**
 * Signs a user in: new session with a new key, `login` event, cookies. What nobody was signed in to ends; a session of the same user
 * keeps its id (and with it the `sid` that applications know), a session of another user is signed out.
 * @param session the browser's present session
 */
export async function logIn(
  core: Core,
  request: FastifyRequest,
  reply: FastifyReply,
  session: BrowserSession | null,
  login: Login,
): Promise<LoginResult> {
  const key = newSessionKey()
  const done = await core.db.transaction(async (tx): Promise<'moved' | 'refused' | 'done'> => {
    if (!(await login.claim(tx))) return 'moved'
    const user = await markLogin(tx, login.userId)
    if (user === undefined) return 'refused'
    const id = await replaceSession(core, tx, request, session, key.keyHash, login)
    if (login.terminateOthers) {
      const others = (await sessionIdsOf(tx, user.id)).filter(other => other !== id)
      await endSessions(tx, core.bus, others)
    }
    await recordEvent(tx, {
      action: 'login',
      app: 'authentik.core.auth',
      user: eventUser(user),
      context: {
        auth_method: login.authMethod,
        auth_method_args: login.authArgs,
        http_request: requestContext(request),
      },
      clientIp: request.client.clientAddress,
    })
    return 'done'
  })
  if (done !== 'done') return done
  const begun = await findSession(core.db, key.keyHash)
  if (begun === undefined) return 'refused'
  setSessionCookies(core, reply, key, login.durationMs)
  return { session: begun }
}

/** @returns id of the session the new key opens */
async function replaceSession(
  core: Core,
  tx: Tx,
  request: FastifyRequest,
  old: BrowserSession | null,
  keyHash: Buffer,
  login: Login,
): Promise<string> {
  const authAt = core.now()
  const expiresAt = new Date(authAt.getTime() + (login.durationMs > 0 ? login.durationMs : openEndedMs))
  const { userId, authMethod, authArgs } = login
  const idle = login.durationMs > 0 ? {} : { idleSeconds: openEndedIdleSeconds }
  const fresh = { userId, keyHash, expiresAt, authMethod, authArgs, authAt, ...idle }
  if (old?.principal?.user.id === userId && (await renewSession(tx, { ...fresh, id: old.id })) === 1)
    return old.id
  if (old !== null && old.principal === null) await deleteAnonymousSession(tx, old.id)
  if (old !== null && old.principal !== null) await endWithEvent(core, tx, request, old)
  const id = randomUUID()
  const userAgent = (request.headers['user-agent'] ?? '').slice(0, 512)
  await insertSession(tx, { ...fresh, id, ip: request.client.clientAddress, userAgent })
  return id
}

/** Signs the browser out: its session, all that hangs on it in outposts, and its cookies. */
export async function logOut(
  core: Core,
  request: FastifyRequest,
  reply: FastifyReply,
  session: BrowserSession,
): Promise<void> {
  await core.db.transaction(tx => endWithEvent(core, tx, request, session))
  clearSessionCookies(core, reply)
}

async function endWithEvent(
  core: Core,
  tx: Tx,
  request: FastifyRequest,
  session: BrowserSession,
): Promise<void> {
  const [revocation] = await endSessions(tx, core.bus, [session.id])
  if (revocation === undefined || session.principal === null) return
  await recordEvent(tx, {
    action: 'logout',
    app: 'authentik.core.auth',
    user: eventUser(session.principal.user),
    context: { http_request: requestContext(request) },
    clientIp: request.client.clientAddress,
    revocationId: revocation.id,
  })
}

/** Begins a session in which nobody is signed in, to remember a plan. Its cookies are set by `setSessionCookies` after commit. */
export async function insertAnonymousSession(
  tx: Queryable,
  request: FastifyRequest,
  expiresAt: Date,
): Promise<{ id: string; key: { value: string; keyHash: Buffer } }> {
  const key = newSessionKey()
  const id = randomUUID()
  await insertSession(tx, {
    id,
    keyHash: key.keyHash,
    userId: null,
    expiresAt,
    ip: request.client.clientAddress,
    userAgent: (request.headers['user-agent'] ?? '').slice(0, 512),
    authMethod: '',
    authArgs: {},
    authAt: null,
  })
  return { id, key }
}

/**
 * The session cookie and a CSRF cookie bound to it.
 * @param durationMs 0 = until the browser is closed
 */
export function setSessionCookies(
  core: Pick<Core, 'baseUrl' | 'cookieDomain' | 'secrets'>,
  reply: FastifyReply,
  key: { value: string; keyHash: Buffer },
  durationMs = 0,
): void {
  const maxAge = durationMs > 0 ? durationMs / 1000 : undefined
  const shared = { ...cookieScope(core), maxAge }
  reply.header('set-cookie', serializeCookie(sessionCookieName, key.value, { ...shared, httpOnly: true }))
  reply.header('set-cookie', serializeCookie(csrfCookieName, newCsrfValue(core.secrets, key.keyHash), shared))
}

export function clearSessionCookies(
  core: Pick<Core, 'baseUrl' | 'cookieDomain' | 'secrets'>,
  reply: FastifyReply,
): void {
  const scope = cookieScope(core)
  reply.header('set-cookie', serializeCookie(sessionCookieName, '', { ...scope, httpOnly: true, maxAge: 0 }))
  reply.header('set-cookie', serializeCookie(csrfCookieName, newCsrfValue(core.secrets, null), scope))
}

/** Gives the browser a CSRF cookie that fits the session cookie it sent, unless it has one; costs no statement. */
export function ensureCsrfCookie(
  core: Pick<Core, 'baseUrl' | 'cookieDomain' | 'secrets'>,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const keyHash = presentedKeyHash(request)
  const present = request.cookie(csrfCookieName)
  if (present !== undefined && isCsrfValue(core.secrets, present, keyHash)) return
  const value = newCsrfValue(core.secrets, keyHash)
  reply.header('set-cookie', serializeCookie(csrfCookieName, value, cookieScope(core)))
}

/** Hash of the session cookie as sent, whether or not there is such a session; null when none of that form was sent. */
export function presentedKeyHash(request: FastifyRequest): Buffer | null {
  return sessionKeyHash(request.cookie(sessionCookieName) ?? '')
}

function cookieScope(core: Pick<Core, 'baseUrl' | 'cookieDomain'>) {
  return {
    secure: core.baseUrl.protocol === 'https:',
    sameSite: 'Lax' as const,
    domain: core.cookieDomain,
  }
}

function requestContext(request: FastifyRequest) {
  return {
    path: request.url.split('?', 1)[0],
    method: request.method,
    user_agent: request.headers['user-agent'] ?? '',
    request_id: request.id,
  }
}

function eventUser(user: Omit<LoginUser, 'uid'>) {
  return { pk: user.id, username: user.username, email: user.email }
}
