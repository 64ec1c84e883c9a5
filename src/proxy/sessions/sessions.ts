// Sessions of the outpost on top of a store: cookie values, sealing, and the lease, during which memory may answer.
import type { Claims } from '../../wire/outpost.ts'
import type { SessionBackend } from './store.ts'

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
  endByUser(sub: string, clientId?: string): Promise<number>
  endByProvider(clientId: string): Promise<number>
  endAll(): Promise<number>
  /** Registers an open WebSocket or stream: re-read once per lease with all others in one statement, `cut` when gone or expired. @returns a function that forgets it */
  watch(session: LiveSession, cut: (reason: 'ended' | 'expired') => void): () => void
  /** Rejects when the store is not usable now. */
  check(): Promise<void>
  close(): Promise<void>
}
