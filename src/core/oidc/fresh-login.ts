// `prompt=login` and `max_age` ask for a login newer than the request. The request comes back with the same URL after the login, so it
// carries a signed note of when it was first made: a login after that moment is what was asked for.
import { timingSafeEqual } from 'node:crypto'
import type { Core } from '../core.ts'
import type { BrowserSession } from '../sessions/principal.ts'
import type { AuthorizeRequest } from './authorize-request.ts'
import type { Parameters } from './parameters.ts'

/** Name of the parameter that carries the note. */
export const askedParameter = 'postern_asked'

/** How long a login may take; an older note counts for nothing. */
const noteLifeMs = 30 * 60_000

/** True when the session's login is as fresh as the client wants it. */
export function isFresh(
  core: Pick<Core, 'secrets' | 'now'>,
  authorize: AuthorizeRequest,
  session: BrowserSession,
): boolean {
  const always = authorize.prompt.has('login') || authorize.prompt.has('select_account')
  const { maxAgeSeconds } = authorize
  if (!always && maxAgeSeconds === undefined) return true
  const loginAt = session.authAt?.getTime() ?? 0
  const now = core.now().getTime()
  if (!always && maxAgeSeconds !== undefined && maxAgeSeconds > 0 && loginAt >= now - maxAgeSeconds * 1000)
    return true
  const askedAt = readNote(core, authorize.parameters)
  return askedAt !== undefined && askedAt > now - noteLifeMs && loginAt >= askedAt
}

/** Query of the same request with a note of now; a note that still counts is kept. */
export function queryWithNote(core: Pick<Core, 'secrets' | 'now'>, parameters: Parameters): string {
  const askedAt = readNote(core, parameters)
  const now = core.now().getTime()
  const at = askedAt !== undefined && askedAt > now - noteLifeMs ? askedAt : now
  const query = queryOf(parameters)
  return `${query}&${askedParameter}=${at}.${signature(core, query, at).toString('base64url')}`
}

/** The request as a query string, without a note. */
export function queryOf(parameters: Parameters): string {
  return new URLSearchParams(parameters.entries.filter(([name]) => name !== askedParameter)).toString()
}

/** @returns time in ms, or undefined when there is no note of ours for this very request */
function readNote(core: Pick<Core, 'secrets'>, parameters: Parameters): number | undefined {
  const [, at, mac] = /^(\d{10,15})\.([A-Za-z0-9_-]{43})$/.exec(parameters.get(askedParameter) ?? '') ?? []
  if (at === undefined || mac === undefined) return undefined
  const expected = signature(core, queryOf(parameters), Number(at))
  const given = Buffer.from(mac, 'base64url')
  return given.length === expected.length && timingSafeEqual(given, expected) ? Number(at) : undefined
}

function signature(core: Pick<Core, 'secrets'>, query: string, at: number): Buffer {
  return core.secrets.mac('authorize request', `${at}\n${query}`)
}
