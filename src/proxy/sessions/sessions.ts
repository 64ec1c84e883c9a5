// Sessions of the outpost on top of a store: cookie values, sealing, and the lease, during which memory may answer.
import { errorText, type Log } from '../../log.ts'
import type { Claims } from '../../wire/outpost.ts'
import { createCleanUp } from './clean-up.ts'
import { type CookieKey, newCookieValue, readCookieValue, sha256 } from './cookie.ts'
import { type Eviction, ends, subjectOf } from './eviction.ts'
import { createLeaseCache, type Entry } from './lease-cache.ts'
import { openClaims } from './seal.ts'
import { digestOf, isFor, newRecord } from './session-record.ts'
import type { SessionBackend, SessionRecord, SessionStore } from './store.ts'
import { createWatch } from './watch.ts'

/** What a session is bound to. */
export interface SessionProvider {
  clientId: string
  cookieSecret: string
}

/** A signed-in user as found behind a cookie. The object is stable while its lease is renewed, so callers may hang caches on it. */
export interface LiveSession {
  readonly claims: Claims
  readonly keyHash: Buffer
  /** ms since epoch */
  readonly expiresAt: number
  /** Free for the caller: what it derived from the claims (header arrays, log fragments); dropped with the session. */
  derived: unknown
}

export type Found =
  | { kind: 'session'; session: LiveSession }
  /** genuine cookie, no session behind it: absent */
  | { kind: 'absent' }
  /** wrong form or check bytes: delete the cookie; costs no statement */
  | { kind: 'forged' }
  /** genuine cookie, store cannot be asked, lease over: 503 with Retry-After */
  | { kind: 'unavailable' }

export interface Sessions {
  readonly backend: SessionBackend
  /** Warm: synchronous, no statement. Cold: one read, single-flight per key. Expiry is checked always. Never throws. */
  find(provider: SessionProvider, cookieValue: string): Found | Promise<Found>
  /**
   * Stores a new session under a new key, ends the one behind `replaces` (the browser's old cookie value), then returns the cookie value.
   * @param expiresAt ms since epoch
   * @throws StoreUnavailable
   */
  create(
    provider: SessionProvider,
    claims: Claims,
    expiresAt: number,
    replaces?: string,
  ): Promise<{ cookieValue: string; session: LiveSession }>
  /** Each evicts from memory at once, then deletes from the store; returns how many were deleted there. @throws StoreUnavailable */
  endSession(provider: SessionProvider, cookieValue: string): Promise<number>
  endBySid(sid: string): Promise<number>
  /** @param createdBefore ms since epoch; sessions made later stay */
  endByUser(sub: string, clientId?: string, createdBefore?: number): Promise<number>
  /** @param createdBefore ms since epoch; sessions made later stay */
  endByProvider(clientId: string, createdBefore?: number): Promise<number>
  endAll(): Promise<number>
  /** Registers an open WebSocket or stream: re-read once per lease with all others in one statement, `cut` when gone or expired. @returns a function that forgets it */
  watch(session: LiveSession, cut: (reason: 'ended' | 'expired') => void): () => void
  /** Rejects when the store is not usable now. */
  check(): Promise<void>
  close(): Promise<void>
}

const absent: Found = { kind: 'absent' }
const forged: Found = { kind: 'forged' }
const unavailable: Found = { kind: 'unavailable' }

/** How often streams are asked for when no lease is given to requests. */
const watchFloorMs = 1_000

/** A read or write under way, and what was ended meanwhile: its result may be older than that. */
interface Attempt {
  ended: Eviction[]
}

/**
 * @param options.leaseMs how long memory may answer, counted from before the read: 0 to 30,000
 * @param options.maxEntries cookies remembered at most
 * @param options.now ms since epoch
 * @param options.cleanUpMs time between two clean-ups of the store; default five minutes
 * @throws RangeError for a lease out of range
 */
export function createSessions(options: {
  store: SessionStore
  leaseMs: number
  maxEntries: number
  now?: () => number
  cleanUpMs?: number
  log: Log
}): Sessions {
  const { store, leaseMs, maxEntries, now = Date.now, log } = options
  if (!(leaseMs >= 0 && leaseMs <= 30_000))
    throw new RangeError(`the session lease is ${leaseMs} ms: use 0 to 30000 (0 to 30 seconds)`)

  const cache = createLeaseCache(maxEntries)
  const live = new WeakMap<LiveSession, ReturnType<typeof subjectOf>>()
  const reads = new Map<string, Promise<Found>>()
  const attempts = new Set<Attempt>()
  const ending = new Set<Eviction>()
  const watch = createWatch({ store, periodMs: leaseMs || watchFloorMs, now, log, onGone: evict })
  const cleanUp = createCleanUp({ store, log, periodMs: options.cleanUpMs })
  let storeDown = false

  function find(provider: SessionProvider, cookieValue: string): Found | Promise<Found> {
    const at = now()
    const entry = cache.get(cookieValue, provider)
    if (entry !== undefined && at < entry.leaseUntil) {
      if (entry.held === null || entry.held.session.expiresAt > at) return entry.found
      cache.delete(cookieValue)
      return absent
    }
    const key = readCookieValue(cookieValue, provider.cookieSecret)
    if (key === null) return forged
    const flight = `${provider.clientId}\0${provider.cookieSecret}\0${cookieValue}`
    let reading = reads.get(flight)
    if (reading === undefined) {
      reading = read(provider, cookieValue, key).finally(() => reads.delete(flight))
      reads.set(flight, reading)
    }
    return reading
  }

  async function read(provider: SessionProvider, cookieValue: string, key: CookieKey): Promise<Found> {
    const startedAt = now()
    const attempt = begin()
    try {
      const record = await store.load(key.keyHash)
      answered()
      return remember(provider, cookieValue, key, record, startedAt + leaseMs, attempt)
    } catch (error) {
      failed(error)
      return unavailable
    } finally {
      attempts.delete(attempt)
    }
  }

  /** Judges what the store gave, and keeps the verdict for the lease. */
  function remember(
    provider: SessionProvider,
    cookieValue: string,
    key: CookieKey,
    record: SessionRecord | null,
    leaseUntil: number,
    attempt: Attempt,
  ): Found {
    const known = cache.get(cookieValue, provider)
    if (record === null || endedDuring(attempt, record)) {
      evict({ by: 'key', key: key.keyHash.toString('hex') })
      return forgetFor(provider, cookieValue, leaseUntil)
    }
    // Another provider's session stays what it is there; here it is none.
    if (!isFor(record, provider, key)) return forgetFor(provider, cookieValue, leaseUntil)
    const digest = digestOf(record)
    if (known?.held?.digest === digest) {
      known.leaseUntil = leaseUntil
      return known.found
    }
    const claims = openClaims(record, { random: key.random, cookieSecret: provider.cookieSecret })
    if (claims === null) {
      log.warning('session record does not open', { client_id: provider.clientId })
      return forgetFor(provider, cookieValue, leaseUntil)
    }
    return hold(provider, cookieValue, record, claims, leaseUntil).found
  }

  function hold(
    provider: SessionProvider,
    cookieValue: string,
    record: SessionRecord,
    claims: Claims,
    leaseUntil: number,
  ): Entry & { held: NonNullable<Entry['held']> } {
    const subject = subjectOf(record)
    const expiresAt = record.expiresAt.getTime()
    const session: LiveSession = { claims, keyHash: record.keyHash, expiresAt, derived: undefined }
    const held = { session, subject, digest: digestOf(record) }
    const found: Found = { kind: 'session', session }
    const entry = { ...provider, found, held, leaseUntil }
    live.set(session, subject)
    cache.set(cookieValue, entry)
    return entry
  }

  function forgetFor(provider: SessionProvider, cookieValue: string, leaseUntil: number): Found {
    const { clientId, cookieSecret } = provider
    cache.set(cookieValue, { clientId, cookieSecret, found: absent, held: null, leaseUntil })
    return absent
  }

  async function create(
    provider: SessionProvider,
    claims: Claims,
    expiresAt: number,
    replaces?: string,
  ): Promise<{ cookieValue: string; session: LiveSession }> {
    const startedAt = now()
    const key = newCookieValue(provider.cookieSecret)
    const record = newRecord(provider, claims, key, new Date(startedAt), new Date(expiresAt))
    const attempt = begin()
    try {
      await store.save(record)
      if (replaces !== undefined) await endSession(provider, replaces)
      const { session } = hold(provider, key.value, record, claims, startedAt + leaseMs).held
      // Ended while it was being stored: it never was a session. The cookie finds nothing, and the browser signs in anew.
      if (endedDuring(attempt, record)) await endSession(provider, key.value)
      return { cookieValue: key.value, session }
    } finally {
      attempts.delete(attempt)
    }
  }

  async function endSession(provider: SessionProvider, cookieValue: string): Promise<number> {
    const key = readCookieValue(cookieValue, provider.cookieSecret)
    if (key === null) return 0
    return end({ by: 'key', key: key.keyHash.toString('hex') }, () => store.deleteByKey(key.keyHash))
  }

  /** While the store deletes, no read may bring back what it is about to lose. */
  async function end(eviction: Eviction, remove: () => Promise<number>): Promise<number> {
    evict(eviction)
    ending.add(eviction)
    try {
      return await remove()
    } finally {
      ending.delete(eviction)
    }
  }

  function evict(eviction: Eviction): void {
    for (const session of cache.evict(eviction)) live.delete(session)
    for (const attempt of attempts) attempt.ended.push(eviction)
    watch.evict(eviction)
  }

  function begin(): Attempt {
    const attempt = { ended: [...ending] }
    attempts.add(attempt)
    return attempt
  }

  function answered(): void {
    if (storeDown) log.info('sessions can be read again')
    storeDown = false
  }

  function failed(error: unknown): void {
    if (!storeDown) log.error('sessions cannot be read', { error: errorText(error) })
    storeDown = true
  }

  return {
    backend: store.backend,
    find,
    create,
    endSession,
    endBySid: async sid => {
      if (sid === '') return 0 // sessions without a login all have the empty `sid`
      const sidHash = sha256(sid)
      return end({ by: 'sid', sid: sidHash.toString('hex') }, () => store.deleteBySid(sidHash))
    },
    endByUser: async (sub, clientId, before) => {
      if (sub === '') return 0
      const userHash = sha256(sub)
      const eviction: Eviction = { by: 'user', user: userHash.toString('hex'), clientId, before }
      return end(eviction, () => store.deleteByUser(userHash, clientId, dateOf(before)))
    },
    endByProvider: (clientId, before) =>
      end({ by: 'provider', clientId, before }, () => store.deleteByProvider(clientId, dateOf(before))),
    endAll: () => end({ by: 'all' }, () => store.deleteAll()),
    watch: (session, cut) => watch.add(session, live.get(session) ?? null, cut),
    check: () => store.check(),
    close: async () => {
      watch.close()
      cache.clear()
      await cleanUp.close()
      await store.close()
    },
  }
}

function dateOf(ms: number | undefined): Date | undefined {
  return ms === undefined ? undefined : new Date(ms)
}

function endedDuring(attempt: Attempt, record: SessionRecord): boolean {
  const subject = subjectOf(record)
  return attempt.ended.some(eviction => ends(eviction, subject))
}
