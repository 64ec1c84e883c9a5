// A login that succeeds again and again: the session it stores is not found where the browser goes next, as when several outposts with
// session files of their own stand behind one address. Whoever comes back with a session cookie that nobody knows is counted.

import { cookieValues } from '../http/cookies.ts'
import { requestId } from '../http/request-id.ts'
import { addCookie, answerPage, type Exchange } from './exchange.ts'

/** seconds; two lost sessions further apart are no loop */
const memory = 60

/** The browser shows a session cookie, and yet a login starts: the session ended, or was never found. */
export function hasLostSession(x: Exchange): boolean {
  return cookieValues(x.head.cookie, x.app.cookieName).length > 0
}

/** This would be the third login in a row, after one that found its session lost. */
export function isLooping(x: Exchange): boolean {
  return hasLostSession(x) && cookieValues(x.head.cookie, markOf(x)).length > 0
}

/** Call when a login that began with a lost session has ended well. */
export function markLostSession(x: Exchange): void {
  addCookie(x, markOf(x), '1', memory)
}

/** The page that ends it; its link begins anew. */
export function answerLoop(x: Exchange, again: string): void {
  const { log, sessions } = x.parts
  log.error('login loop: a session was stored and not found again', {
    name: x.app.name,
    backend: sessions.backend,
    host: x.host,
    hint: 'outposts behind one address must share their sessions: set session_backend to postgres for all of them',
    request_id: requestId(x.req),
  })
  addCookie(x, markOf(x), '', 0)
  const text =
    'You signed in, but your session was not found afterwards, twice in a row. This happens when several outposts serve one address without sharing their sessions, or when the session was ended at once.'
  answerPage(x, 400, { title: 'Sign-in failed', text, again })
}

function markOf(x: Exchange): string {
  return `${x.app.cookieName}_lost`
}
