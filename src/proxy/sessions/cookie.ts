// The session cookie: one opaque value that proves by itself that this provider issued it, so a forged one costs no
// look-up. 32 random bytes and 8 check bytes, base64url without padding: 54 characters.
import { createHash, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'

/** What stands behind a genuine cookie value. */
export interface CookieKey {
  /** the 32 random bytes; half of what opens the sealed claims, so it never leaves the process */
  random: Buffer
  /** SHA-256 of the cookie's text: the key of the record */
  keyHash: Buffer
}

const randomLength = 32
const checkLength = 8
const form = /^[A-Za-z0-9_-]{54}$/

/** @returns `authentik_proxy_` and the first 8 hex digits of SHA-256(`clientId`) */
export function sessionCookieName(clientId: string): string {
  return `authentik_proxy_${sha256(clientId).toString('hex').slice(0, 8)}`
}

/**
 * Makes a cookie value nobody can guess.
 * @param cookieSecret the provider's `cookie_secret`
 * @throws Error when the secret is empty
 */
export function newCookieValue(cookieSecret: string): CookieKey & { value: string } {
  if (cookieSecret === '') throw new Error('the provider has no cookie_secret: save it again in Core')
  const random = randomBytes(randomLength)
  const value = Buffer.concat([random, checkOf(random, cookieSecret)]).toString('base64url')
  return { value, random, keyHash: sha256(value) }
}

/**
 * Reads a cookie value from a browser; the check bytes are compared in constant time.
 * @returns null when the form is wrong, the text is not the one spelling of its bytes, or the check bytes are not ours
 */
export function readCookieValue(value: string, cookieSecret: string): CookieKey | null {
  if (cookieSecret === '' || !form.test(value)) return null
  const bytes = Buffer.from(value, 'base64url')
  // 54 characters carry 4 bits more than 40 bytes: only one of the 16 spellings is a cookie.
  if (bytes.toString('base64url') !== value) return null
  const random = bytes.subarray(0, randomLength)
  if (!timingSafeEqual(bytes.subarray(randomLength), checkOf(random, cookieSecret))) return null
  return { random, keyHash: sha256(value) }
}

/** @returns the 32 bytes of SHA-256 over the UTF-8 text */
export function sha256(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest()
}

function checkOf(random: Buffer, cookieSecret: string): Buffer {
  return createHmac('sha256', checkKey(cookieSecret)).update(random).digest().subarray(0, checkLength)
}

// Derived once per secret; there are as many secrets as providers, the bound only guards against a leak over years.
const checkKeys = new Map<string, Buffer>()
const checkKeysMax = 1024

function checkKey(cookieSecret: string): Buffer {
  let key = checkKeys.get(cookieSecret)
  if (key === undefined) {
    key = Buffer.from(hkdfSync('sha256', cookieSecret, '', 'postern session cookie check 1', 32))
    if (checkKeys.size >= checkKeysMax) checkKeys.clear()
    checkKeys.set(cookieSecret, key)
  }
  return key
}
