// The way back from Core: state, then transaction, then code, in this order. A lost transaction starts again by itself, once; a code
// that cannot be redeemed ends on a page, never in a circle.
import { LRUCache } from 'lru-cache'
import { cookieValues } from '../http/cookies.ts'
import { requestId } from '../http/request-id.ts'
import { errorText } from '../log.ts'
import type { Claims } from '../wire/outpost.ts'
import { isRecord, readClaims } from './claims.ts'
import { answerPage, answerUnavailable, type Exchange, redirect, setSessionCookie } from './exchange.ts'
import { loginUrl, startLogin } from './login.ts'
import { markLostSession } from './login-loop.ts'
import { answerReplay, takeForm } from './post-replay.ts'
import { endRenewal } from './renewal.ts'
import { StoreUnavailable } from './sessions/store.ts'
import {
  endTransactionCookie,
  findTransaction,
  readState,
  type State,
  type Transaction,
} from './transaction.ts'

/** Rounds after which a login is not started again by itself. */
const lastRound = 2

/** Codes under way or used, by transaction: a browser that asks twice redeems once. */
export type Redemptions = LRUCache<string, Promise<Redeemed>>
type Redeemed = { cookieValue: string; seconds: number; formTaken: boolean } | { failed: unknown }

export function createRedemptions(): Redemptions {
  return new LRUCache({ max: 5000, ttl: 600_000 })
}

/** @param query raw query, with or without `?` */
export async function handleCallback(x: Exchange, query: string): Promise<void> {
  const { app, parts } = x
  const params = new URLSearchParams(query)
  const read = await readState(app, params.get('state') ?? '', parts.now())
  if (read.kind !== 'state') return answerBadState(x, read.kind === 'expired' ? read.state : null, read)
  const { state } = read
  const found = findTransaction(app, x.head.cookie, state.sid, parts.now())
  if (found === null) return resume(x, state)
  x.cookies = [...(x.cookies ?? []), endTransactionCookie(app, found.name)]
  const code = params.get('code') ?? ''
  // A renewal for which Core would have had to ask: the session that is still there goes on to its end.
  if (code === '' && state.silent) return redirect(x, targetOf(x, state))
  if (code === '') return answerRefused(x, state, params)
  const redeemed = await redeemOnce(x, found.transaction, code, state)
  if ('failed' in redeemed) return answerFailed(x, state, redeemed.failed)
  setSessionCookie(x, redeemed.cookieValue, redeemed.seconds)
  if (state.lost) markLostSession(x)
  if (state.silent) endRenewal(x)
  const form = takeForm(x, state.sid)
  if (form === null || redeemed.formTaken) return redirect(x, targetOf(x, state))
  redeemed.formTaken = true
  answerReplay(x, targetOf(x, state), form)
}

function targetOf(x: Exchange, state: State): string {
  return state.redirect === '' ? `${x.app.origin}/` : state.redirect
}

/** No transaction: whoever is signed in by now goes on, anyone else starts again. */
async function resume(x: Exchange, state: State): Promise<void> {
  const { app, parts } = x
  for (const value of cookieValues(x.head.cookie, app.cookieName).slice(0, 3)) {
    const found = await parts.sessions.find(app.session, value)
    if (found.kind === 'session') return redirect(x, targetOf(x, state))
    if (found.kind === 'unavailable') return answerUnavailable(x)
  }
  if (state.round < lastRound) {
    parts.log.info('login started again, its cookie is gone', { name: app.name, round: state.round + 1 })
    return startLogin(x, state.redirect, { round: state.round + 1 })
  }
  parts.log.error('mismatched session ID', {
    name: app.name,
    is: '',
    should: state.sid,
    request_id: requestId(x.req),
  })
  const text =
    'Your browser did not send back the cookie of this login, twice. Cookies may be blocked, or the address of the application differs from the one it is configured with.'
  answerPage(x, 400, { title: 'Sign-in failed', text, again: loginUrl(x, state.redirect) })
}

function answerBadState(x: Exchange, expired: State | null, read: { kind: string; why?: string }): void {
  const event = expired === null ? 'failed to parse state jwt' : 'invalid state'
  x.parts.log.warning(event, { name: x.app.name, error: read.why ?? 'expired', request_id: requestId(x.req) })
  const text =
    expired === null
      ? 'This link does not belong to a sign-in that was started here.'
      : 'The sign-in took longer than ten minutes. Please start again.'
  answerPage(x, 400, { title: 'Sign-in failed', text, again: loginUrl(x, expired?.redirect ?? '') })
}

/** Core came back without a code. */
function answerRefused(x: Exchange, state: State, params: URLSearchParams): void {
  const error = (params.get('error') ?? 'no code').slice(0, 100)
  const detail = (params.get('error_description') ?? '').slice(0, 300)
  x.parts.log.error('failed to redeem code', {
    name: x.app.name,
    error,
    detail,
    request_id: requestId(x.req),
  })
  const denied = error === 'access_denied'
  const text = denied
    ? 'You are not permitted to use this application.'
    : `The identity provider answered: ${error}.`
  const title = denied ? 'Access denied' : 'Sign-in failed'
  answerPage(x, denied ? 403 : 400, { title, text, again: loginUrl(x, state.redirect) })
}

function answerFailed(x: Exchange, state: State, error: unknown): void {
  x.parts.log.error('failed to redeem code', {
    name: x.app.name,
    error: errorText(error),
    request_id: requestId(x.req),
  })
  if (state.silent) {
    redirect(x, targetOf(x, state))
    return
  }
  if (error instanceof StoreUnavailable) {
    answerUnavailable(x)
    return
  }
  const text = 'The identity provider did not confirm this sign-in. The log of the outpost names the cause.'
  answerPage(x, 502, { title: 'Sign-in failed', text, again: loginUrl(x, state.redirect) })
}

function redeemOnce(x: Exchange, transaction: Transaction, code: string, state: State): Promise<Redeemed> {
  const { redemptions } = x.parts
  let result = redemptions.get(transaction.id)
  if (result === undefined) {
    result = redeem(x, transaction, code, state).catch((failed: unknown) => ({ failed }))
    redemptions.set(transaction.id, result)
  }
  return result
}

/** Code for tokens, tokens for claims, claims for a session under a new key; the browser's old one ends. */
async function redeem(x: Exchange, transaction: Transaction, code: string, state: State): Promise<Redeemed> {
  const { app, parts } = x
  const claims = await exchange(x, transaction, code)
  const expiresAt = claims.exp * 1000
  const [old] = cookieValues(x.head.cookie, app.cookieName)
  const stays = state.silent && old !== undefined && (await isOf(x, old, claims))
  const { cookieValue } = await parts.sessions.create(app.session, claims, expiresAt, stays ? undefined : old)
  return { cookieValue, seconds: Math.floor((expiresAt - parts.now()) / 1000), formTaken: false }
}

/** A renewed session of the same user runs out by itself: its open streams and the requests under way are not to be cut. */
async function isOf(x: Exchange, cookieValue: string, claims: Claims): Promise<boolean> {
  const found = await x.parts.sessions.find(x.app.session, cookieValue)
  return found.kind === 'session' && found.session.claims.sub === claims.sub
}

async function exchange(x: Exchange, transaction: Transaction, code: string): Promise<Claims> {
  const { app, parts } = x
  const { client_id, client_secret } = app.config
  const { status, body } = await parts.link.backChannel(app.config, {
    endpoint: 'token',
    form: {
      grant_type: 'authorization_code',
      code,
      redirect_uri: app.redirectUri,
      client_id,
      client_secret,
      code_verifier: transaction.verifier,
    },
  })
  if (status !== 200 || !isRecord(body)) {
    const error =
      isRecord(body) && typeof body.error === 'string' ? body.error.slice(0, 100) : 'no error code'
    throw new Error(`the token endpoint answered ${status} (${error})`)
  }
  const { access_token: access, id_token: id } = body
  if (typeof access !== 'string' || typeof id !== 'string') throw new Error('the answer lacks a token')
  const identity = await app.verifier.verify(id, transaction.nonce)
  const claims = readClaims(await app.verifier.verify(access), access)
  if (claims === null || claims.sub !== identity.sub)
    throw new Error('the two tokens are not about the same user')
  return claims
}
