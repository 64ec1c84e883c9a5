// Proof Key for Code Exchange (RFC 7636), S256 only: `plain` protects nothing.
import { timingSafeEqual } from 'node:crypto'
import { sha256 } from '../secrets.ts'

/** Characters and length of a verifier, and of a challenge that a client may send (RFC 7636 §4.1). */
const form = /^[A-Za-z0-9._~-]{43,128}$/

/** True for a challenge in the form S256 gives it: 43 to 128 unreserved characters. */
export function isChallenge(text: string): boolean {
  return form.test(text)
}

/** True when BASE64URL(SHA-256(verifier)) is the stored challenge (RFC 7636 §4.6). */
export function verifierMatches(verifier: string, challenge: string): boolean {
  if (!form.test(verifier)) return false
  const computed = Buffer.from(sha256(verifier).toString('base64url'))
  const stored = Buffer.from(challenge)
  return computed.length === stored.length && timingSafeEqual(computed, stored)
}
