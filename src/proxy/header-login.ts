// Credentials in the `Authorization` header: bearer tokens by introspection (RFC 7662), user name and app password by the client
// credentials grant. What Core said is remembered for a minute under a hash of the header, and forgotten when the user's session ends.
import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { errorText, type Log } from '../log.ts'
import type { OutpostLink } from '../wire/link.ts'
import type { Claims } from '../wire/outpost.ts'
import type { Application } from './application.ts'
import type { Verdict } from './authenticate.ts'
import { isRecord, readClaims } from './claims.ts'
import { type Exchange, setSessionCookie } from './exchange.ts'
import type { Identity } from './identity-headers.ts'
import type { Sessions } from './sessions/sessions.ts'

export interface HeaderLogins {
  /** Sets `identity` and `authorizationUsed` when the credentials are good. Never throws, never rejects. */
  authenticate(x: Exchange): Verdict | Promise<Verdict>
  /** Whether the header of a request with a session holds the credentials that session was made with. */
  isCredential(x: Exchange, identity: Identity): boolean
  forget(whose: { sid?: string; sub?: string; clientId?: string }): void
}

interface Entry {
  app: Application
  identity: Identity
  cookieValue: string | null
  /** ms since epoch; until then Core is not asked again */
  until: number
}

const rememberMs = 60_000
/** A session made for a header is used again when Core confirms the same credentials after the minute: no new row per minute. */
const keepMs = 15 * 60_000

export function createHeaderLogins(options: {
  link: OutpostLink
  sessions: Sessions
  log: Log
  now: () => number
}): HeaderLogins {
  const { link, sessions, log, now } = options
  const entries = new LRUCache<string, Entry>({ max: 5000, ttl: keepMs })
  const asking = new Map<string, Promise<Entry | null>>()

  return {
    authenticate(x) {
      const key = keyOf(x)
      const known = entries.get(key)
      if (known !== undefined && isFresh(known, x.app)) return accept(x, known, false)
      let answer = asking.get(key)
      if (answer === undefined) {
        answer = ask(x.app, x.head.authorization ?? '', known)
          .then(entry => {
            if (entry === null) entries.delete(key)
            else entries.set(key, entry)
            return entry
          })
          .finally(() => asking.delete(key))
        asking.set(key, answer)
      }
      return answer.then(entry => (entry === null ? 'anonymous' : accept(x, entry, true)))
    },
    isCredential(x, { claims }) {
      if (claims.sid === '') return /^(?:bearer|basic) /i.test(x.head.authorization ?? '')
      const bearer = /^bearer (.+)$/i.exec(x.head.authorization ?? '')
      return bearer?.[1] === claims.raw_token || entries.has(keyOf(x))
    },
    forget({ sid, sub, clientId }) {
      for (const [key, { identity, app }] of entries.entries()) {
        if (clientId !== undefined && app.config.client_id !== clientId) continue
        if (sid !== undefined && identity.claims.sid !== sid) continue
        if (sub !== undefined && identity.claims.sub !== sub) continue
        entries.delete(key)
      }
    },
  }

  function isFresh(entry: Entry, app: Application): boolean {
    return entry.app === app && entry.until > now() && entry.identity.expiresAt > now()
  }

  async function ask(
    app: Application,
    authorization: string,
    known: Entry | undefined,
  ): Promise<Entry | null> {
    const claims = await claimsFor(app, authorization)
    if (claims === null) return null
    const time = now()
    const expiresAt = lifeOf(app, claims, time)
    if (expiresAt <= time) return null
    const until = Math.min(time + rememberMs, expiresAt)
    if (known?.cookieValue != null && known.app === app && isSamePerson(known.identity.claims, claims)) {
      const found = await sessions.find(app.session, known.cookieValue)
      if (found.kind === 'session') return { ...known, identity: found.session, until }
    }
    try {
      const { cookieValue, session } = await sessions.create(app.session, claims, expiresAt)
      return { app, identity: session, cookieValue, until }
    } catch (error) {
      log.warning('header login could not be stored', { name: app.name, error: errorText(error) })
      return { app, identity: { claims, expiresAt, derived: undefined }, cookieValue: null, until }
    }
  }

  async function claimsFor(app: Application, authorization: string): Promise<Claims | null> {
    const [, scheme = '', value = ''] = /^(bearer|basic) (\S+)$/i.exec(authorization) ?? []
    if (scheme === '' || value.length > 16_384) return null
    try {
      return scheme.toLowerCase() === 'bearer' ? await introspect(app, value) : await byPassword(app, value)
    } catch (error) {
      log.warning('failed to check the Authorization header', { name: app.name, error: errorText(error) })
      return null
    }
  }

  async function introspect(app: Application, token: string): Promise<Claims | null> {
    const { client_id, client_secret } = app.config
    const form = { client_id, client_secret, token }
    const { status, body } = await link.backChannel(app.config, { endpoint: 'introspection', form })
    if (status !== 200 || !isRecord(body) || body.active !== true) return null
    if (body.client_id !== undefined && body.client_id !== client_id) return null
    if (body.aud !== undefined && ![body.aud].flat().includes(client_id)) return null
    if (body.exp !== undefined && !(typeof body.exp === 'number' && body.exp * 1000 > now())) return null
    return readClaims(body, token)
  }

  async function byPassword(app: Application, encoded: string): Promise<Claims | null> {
    const text = Buffer.from(encoded, 'base64').toString('utf8')
    const colon = text.indexOf(':')
    if (colon <= 0) return null
    const [username, password] = [text.slice(0, colon), text.slice(colon + 1)]
    if (username === 'goauthentik.io/token') {
      const claims = await introspect(app, password)
      if (claims !== null) return claims
    }
    const { client_id, scopes_to_request } = app.config
    const scope = scopes_to_request.join(' ')
    const form = { grant_type: 'client_credentials', client_id, username, password, scope }
    const { status, body } = await link.backChannel(app.config, { endpoint: 'token', form })
    if (status !== 200 || !isRecord(body) || typeof body.id_token !== 'string') return null
    return readClaims(await app.verifier.verify(body.id_token), body.id_token)
  }
}

function accept(x: Exchange, entry: Entry, isNew: boolean): Identity {
  x.identity = entry.identity
  x.authorizationUsed = true
  if (isNew && entry.cookieValue !== null) {
    const seconds = Math.floor((entry.identity.expiresAt - x.parts.now()) / 1000)
    setSessionCookie(x, entry.cookieValue, seconds)
  }
  return entry.identity
}

function keyOf({ app, head }: Exchange): string {
  return createHash('sha256').update(`${app.config.client_id}\0${head.authorization}`).digest('base64')
}

/** The provider's default life, at most the token's own. ms since epoch. */
function lifeOf(app: Application, claims: Claims, time: number): number {
  const life = (Math.floor(app.config.access_token_validity ?? 0) + 1) * 1000
  return claims.exp > 0 ? Math.min(claims.exp * 1000, time + Math.max(life, rememberMs)) : time + life
}

/** The same user with the same rights; times and the token itself differ at every login. */
function isSamePerson(known: Claims, now: Claims): boolean {
  const bare = (claims: Claims) => JSON.stringify({ ...claims, exp: 0, raw_token: '' })
  return bare(known) === bare(now)
}
