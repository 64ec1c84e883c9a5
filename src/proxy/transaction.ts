// A login under way. Nothing is kept on the server: the state goes through Core as a signed JWT, the secrets of the transaction (PKCE
// verifier, nonce) lie sealed in a cookie that only the callback gets.
import { createCipheriv, createDecipheriv, createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { errors as joseErrors, jwtVerify, SignJWT } from 'jose'
import { parseCookies, serializeCookie } from '../http/cookies.ts'
import type { Application } from './application.ts'

/** seconds a login may take */
export const transactionSeconds = 600

/**
 * Cookies of logins under way per application. Where a login starts the browser does not show them (they belong to the path of the
 * callback), so the bound is kept by their names: a sixth login takes the place of an older one, which then starts again by itself.
 */
const slots = 5

export interface State {
  /** id of the transaction */
  sid: string
  /** where the browser goes afterwards; empty: the external host */
  redirect: string
  /** 1 for a first login, one more each time it was started again */
  round: number
  /** Begun beside a session that still lives: Core asks nothing, and a refusal changes nothing. */
  silent: boolean
  /** Begun although the browser showed a session cookie; see login-loop.ts. */
  lost: boolean
}

export interface Transaction {
  id: string
  verifier: string
  nonce: string
  /** ms since epoch */
  startedAt: number
}

/** A new transaction, with its cookie. */
export function createTransaction(
  app: Application,
  now: number,
): { transaction: Transaction; cookie: string } {
  const id = randomBytes(16).toString('base64url')
  const transaction = {
    id,
    verifier: randomBytes(32).toString('base64url'),
    nonce: randomBytes(16).toString('base64url'),
    startedAt: now,
  }
  const cookie = transactionCookie(app, slotName(app, nextSlot()), seal(app, transaction), transactionSeconds)
  return { transaction, cookie }
}

/** PKCE challenge of a verifier, method S256 (RFC 7636 §4.2). */
export function challengeOf(verifier: string): string {
  return createHash('sha256').update(verifier).digest('base64url')
}

/** The transaction with this id among the cookies of a request, and the name of the cookie it came in. */
export function findTransaction(
  app: Application,
  cookieHeader: string | undefined,
  id: string,
  now: number,
): { transaction: Transaction; name: string } | null {
  for (const { name, value } of parseCookies(cookieHeader)) {
    if (!name.startsWith(`${app.cookieName}_`)) continue
    const transaction = unseal(app, value)
    if (transaction === null || transaction.startedAt + transactionSeconds * 1000 <= now) continue
    if (sameText(transaction.id, id)) return { transaction, name }
  }
  return null
}

/** A Set-Cookie value that removes the cookie of a transaction. */
export function endTransactionCookie(app: Application, name: string): string {
  return transactionCookie(app, name, '', 0)
}

/** The `state` parameter: HS256 under the cookie secret, ten minutes. */
export async function signState(app: Application, state: State, now: number): Promise<string> {
  const issued = Math.floor(now / 1000)
  return new SignJWT({
    iss: issuerOf(app),
    sid: state.sid,
    state: randomBytes(32).toString('base64url'),
    redirect: state.redirect,
    iat: issued,
    exp: issued + transactionSeconds,
    round: state.round,
    ...(state.silent ? { silent: true } : {}),
    ...(state.lost ? { lost: true } : {}),
  })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .sign(app.stateKey)
}

export type ReadState =
  | { kind: 'state'; state: State }
  /** genuine, but the login took too long */
  | { kind: 'expired'; state: State }
  | { kind: 'bad'; why: string }

/** Checks signature, issuer and age of a `state` parameter. Never throws. */
export async function readState(app: Application, text: string, now: number): Promise<ReadState> {
  try {
    const { payload } = await jwtVerify(text, app.stateKey, {
      algorithms: ['HS256'],
      issuer: issuerOf(app),
      requiredClaims: ['exp', 'iat'],
      currentDate: new Date(now),
    })
    const state = stateOf(payload)
    return state === null ? { kind: 'bad', why: 'claims are missing' } : { kind: 'state', state }
  } catch (error) {
    if (error instanceof joseErrors.JWTExpired) {
      const state = stateOf(error.payload)
      if (state !== null) return { kind: 'expired', state }
    }
    return { kind: 'bad', why: error instanceof Error ? error.message : String(error) }
  }
}

function stateOf(payload: Record<string, unknown>): State | null {
  const { sid, redirect, round } = payload
  if (typeof sid !== 'string' || sid === '' || typeof redirect !== 'string') return null
  if (typeof round !== 'number' || !Number.isInteger(round) || round < 1) return null
  return { sid, redirect, round, silent: payload.silent === true, lost: payload.lost === true }
}

function issuerOf(app: Application): string {
  return `goauthentik.io/outpost/${app.config.client_id}`
}

let started = 0
function nextSlot(): number {
  started = (started + 1) % slots
  return started
}

function slotName(app: Application, slot: number): string {
  return `${app.cookieName}_${slot}`
}

/** A cookie that only the callback gets. @param maxAge seconds; 0 removes it */
export function transactionCookie(app: Application, name: string, value: string, maxAge: number): string {
  const { secure, cookieDomain: domain, callbackPath: path } = app
  return serializeCookie(name, value, { path, domain, maxAge, secure, httpOnly: true, sameSite: 'Lax' })
}

function seal(app: Application, transaction: Transaction): string {
  return sealText(app, JSON.stringify(transaction))
}

function unseal(app: Application, value: string): Transaction | null {
  const text = unsealText(app, value)
  return text === null ? null : (JSON.parse(text) as Transaction)
}

/**
 * Text that only this application's outposts can read, as a cookie value.
 * @param context what it belongs to; it opens for nothing else
 */
export function sealText(app: Application, text: string, context = ''): string {
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', app.transactionKey, iv).setAAD(Buffer.from(context))
  const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
  return Buffer.concat([iv, body, cipher.getAuthTag()]).toString('base64url')
}

/** @returns null for anything `sealText` did not make for this application and context */
export function unsealText(app: Application, value: string, context = ''): string | null {
  const bytes = Buffer.from(value, 'base64url')
  if (bytes.length < 29 || bytes.length > 4096) return null
  try {
    const decipher = createDecipheriv('aes-256-gcm', app.transactionKey, bytes.subarray(0, 12), {
      authTagLength: 16,
    })
    decipher.setAAD(Buffer.from(context)).setAuthTag(bytes.subarray(-16))
    return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]).toString('utf8')
  } catch {
    return null
  }
}

function sameText(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)]
  return a.length === b.length && timingSafeEqual(a, b)
}
