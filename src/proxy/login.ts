// Sending a browser to Core: state, PKCE and nonce made, the transaction's cookie set, nothing stored (RFC 9700 §2.1.1).

import { outpostPrefix } from '../wire/outpost.ts'
import { answer, answerPage, browserOrigin, type Exchange, redirect } from './exchange.ts'
import { answerLoop, hasLostSession, isLooping } from './login-loop.ts'
import { checkedTarget } from './redirect.ts'
import { saysNotNavigating } from './request-head.ts'
import { challengeOf, createTransaction, signState } from './transaction.ts'

export interface LoginOptions {
  /** 1, or one more than the login this one takes the place of */
  round?: number
  /** beside a session that still lives: Core must ask nothing */
  silent?: boolean
  /** told the id of the transaction before the answer goes out, to add cookies that belong to it */
  onTransaction?: (id: string) => void
}

/**
 * Redirects to Core's authorize endpoint.
 * @param target checked, absolute; empty: the external host
 */
export async function startLogin(x: Exchange, target: string, options: LoginOptions = {}): Promise<void> {
  const { app, parts } = x
  const { round = 1, silent = false } = options
  if (!silent && isLooping(x)) {
    answerLoop(x, loginUrl(x, target))
    return
  }
  const now = parts.now()
  const { transaction, cookie } = createTransaction(app, now)
  const lost = !silent && hasLostSession(x)
  const state = await signState(app, { sid: transaction.id, redirect: target, round, silent, lost }, now)
  const scope = app.config.scopes_to_request.join(' ')
  const query = new URLSearchParams({
    client_id: app.config.client_id,
    code_challenge: challengeOf(transaction.verifier),
    code_challenge_method: 'S256',
    nonce: transaction.nonce,
    ...(silent ? { prompt: 'none' } : {}),
    redirect_uri: app.redirectUri,
    response_type: 'code',
    ...(scope === '' ? {} : { scope }),
    state,
  })
  x.cookies = [...(x.cookies ?? []), cookie]
  options.onTransaction?.(transaction.id)
  redirect(x, `${app.endpoints.authorize}${app.endpoints.authorize.includes('?') ? '&' : '?'}${query}`)
}

/** The path `start`: the way into a login for front proxies that cannot make the redirect themselves. */
export async function handleStart(x: Exchange): Promise<void> {
  const rd = askedTarget(x.query)
  const target = rd === '' ? '' : checkedTarget(x.app, rd, browserOrigin(x))
  if (target === null) x.parts.log.warning('redirect target refused', { name: x.app.name, host: x.host })
  if (saysNotNavigating(x.head)) answerNotSignedIn(x, target ?? '')
  else await startLogin(x, target ?? '')
}

/**
 * The parameter `rd`. nginx cannot encode what it puts there: a bare `?` in the value means that the rest of the query is the target's.
 */
function askedTarget(query: string): string {
  const raw = /[?&]rd=((?:https?:\/\/|\/)[^?&]*\?.*)$/i.exec(query)
  return raw?.[1] ?? new URLSearchParams(query).get('rd') ?? ''
}

/** Where a browser begins a login that ends at `target`. */
export function loginUrl(x: Exchange, target: string): string {
  return `${browserOrigin(x)}${outpostPrefix}/start${target === '' ? '' : `?${new URLSearchParams({ rd: target })}`}`
}

/** 401 for programs: a redirect to a login page would reach nobody. The body names where a person can sign in. */
export function answerNotSignedIn(x: Exchange, target: string): void {
  const body = `${JSON.stringify({ detail: 'Authentication required.', login_url: loginUrl(x, target) })}\n`
  const headers = ['Content-Type', 'application/json', 'Cache-Control', 'no-store']
  answer(x, 401, [...headers, 'WWW-Authenticate', 'Bearer realm="outpost"'], body)
}

/** Credentials were sent and refused, and the provider takes them: no redirect would help. */
export function answerRefusedCredentials(x: Exchange): void {
  const text = "Due to 'Receive header authentication' being set, no redirect is performed."
  answerPage(x, 401, { title: 'Unauthenticated', text, again: null }, [
    'WWW-Authenticate',
    'Bearer realm="outpost"',
  ])
}
