// Core's session cookie: 256 random bits, of which the database knows only the SHA-256.
import { createHash, randomBytes } from 'node:crypto'
import { sha256 } from '../secrets.ts'

export const sessionCookieName = 'authentik_session'

/** A new cookie value (43 characters base64url) and the hash to store. */
export function newSessionKey(): { value: string; keyHash: Buffer } {
  const value = randomBytes(32).toString('base64url')
  return { value, keyHash: sha256(value) }
}

/** @returns the stored hash of a presented value, or null when it does not have the form of one */
export function sessionKeyHash(value: string): Buffer | null {
  return /^[A-Za-z0-9_-]{43}$/.test(value) ? sha256(value) : null
}

/**
 * The `sid` claim and SESSION_END's `session_id`: hex SHA-256 of the session id's lower-case text.
 * @param sessionId uuid of the session row; survives rotation of the key
 */
export function sidOf(sessionId: string): string {
  return createHash('sha256').update(sessionId.toLowerCase()).digest('hex')
}
