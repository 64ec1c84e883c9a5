// CSRF protection of cookie-authenticated writes: a readable cookie whose value a page must repeat in a header. The value is signed
// and bound to the session cookie when there is one, so nothing is stored; Origin or Sec-Fetch-Site must be ours as well.
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { Secrets } from './secrets.ts'

export const csrfCookieName = 'authentik_csrf'
export const csrfHeaderName = 'x-authentik-csrf'

/** @param sessionKeyHash of the browser's session cookie, null when it has none */
export function newCsrfValue(secrets: Secrets, sessionKeyHash: Buffer | null): string {
  const nonce = randomBytes(16)
  return Buffer.concat([nonce, signature(secrets, nonce, sessionKeyHash)]).toString('base64url')
}

/** True when `value` was made by us for this session (or for no session). */
export function isCsrfValue(secrets: Secrets, value: string, sessionKeyHash: Buffer | null): boolean {
  const bytes = Buffer.from(value, 'base64url')
  if (bytes.length !== 48 || bytes.toString('base64url') !== value) return false
  return timingSafeEqual(bytes.subarray(16), signature(secrets, bytes.subarray(0, 16), sessionKeyHash))
}

function signature(secrets: Secrets, nonce: Uint8Array, sessionKeyHash: Buffer | null): Buffer {
  return secrets.mac('csrf', Buffer.concat([nonce, sessionKeyHash ?? Buffer.alloc(0)]))
}

export interface CsrfInput {
  header: string | undefined
  cookie: string | undefined
  sessionKeyHash: Buffer | null
  origin: string | undefined
  secFetchSite: string | undefined
  /** scheme, host and port of the page this request must come from */
  ownOrigin: string
}

/** @returns null when the request comes from a page of ours, else what is wrong, for the log */
export function csrfProblem(secrets: Secrets, input: CsrfInput): string | null {
  if (input.origin !== undefined) {
    if (input.origin !== input.ownOrigin) return 'origin'
  } else if (input.secFetchSite !== undefined && input.secFetchSite !== 'same-origin') return 'sec-fetch-site'
  if (input.header === undefined || input.cookie === undefined) return 'missing'
  const header = Buffer.from(input.header)
  const cookie = Buffer.from(input.cookie)
  if (header.length !== cookie.length || !timingSafeEqual(header, cookie)) return 'mismatch'
  return isCsrfValue(secrets, input.header, input.sessionKeyHash) ? null : 'signature'
}
