// Claims of a session, sealed: readable only with the browser's cookie and the provider's `cookie_secret` together, and
// only in the very row they were sealed for. Form: version byte, 12 bytes nonce, ciphertext, 16 bytes tag.
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import type { Claims } from '../../wire/outpost.ts'
import type { SessionRecord } from './store.ts'

/** Both halves of the key: the cookie's random bytes and the provider's secret. */
export interface SealKey {
  random: Buffer
  cookieSecret: string
}

export type RecordColumns = Omit<SessionRecord, 'sealed'>

const version = 1
const nonceLength = 12
const tagLength = 16
const cipher = 'aes-256-gcm'

/**
 * Seals claims for one record: AES-256-GCM under HKDF-SHA256 (RFC 5869), all other columns being authenticated data.
 * @returns the record's `sealed` column
 */
export function sealClaims(claims: Claims, columns: RecordColumns, key: SealKey): Buffer {
  const nonce = randomBytes(nonceLength)
  const sealing = createCipheriv(cipher, deriveKey(key, columns.clientId), nonce, {
    authTagLength: tagLength,
  }).setAAD(authenticated(columns))
  const body = Buffer.concat([sealing.update(JSON.stringify(claims), 'utf8'), sealing.final()])
  return Buffer.concat([Buffer.of(version), nonce, body, sealing.getAuthTag()])
}

/**
 * Opens the claims of a record.
 * @returns null when anything in the record was changed, it belongs to another key or provider, or its version is unknown
 */
export function openClaims(record: SessionRecord, key: SealKey): Claims | null {
  const { sealed } = record
  if (sealed.length < 1 + nonceLength + tagLength || sealed[0] !== version) return null
  const nonce = sealed.subarray(1, 1 + nonceLength)
  try {
    const opening = createDecipheriv(cipher, deriveKey(key, record.clientId), nonce, {
      authTagLength: tagLength,
    })
      .setAAD(authenticated(record))
      .setAuthTag(sealed.subarray(sealed.length - tagLength))
    const body = Buffer.concat([
      opening.update(sealed.subarray(1 + nonceLength, sealed.length - tagLength)),
      opening.final(),
    ])
    return toClaims(JSON.parse(body.toString('utf8')))
  } catch {
    return null // whatever is wrong with a record, it is not a session
  }
}

function deriveKey(key: SealKey, clientId: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key.random, key.cookieSecret, clientId, 32))
}

/** Every column with its length in front, so that no two records have the same bytes. */
function authenticated(columns: RecordColumns): Buffer {
  const parts = [
    Buffer.from([version]),
    columns.keyHash,
    Buffer.from(columns.clientId, 'utf8'),
    columns.sidHash === null ? Buffer.from([0]) : Buffer.concat([Buffer.from([1]), columns.sidHash]),
    columns.userHash,
    milliseconds(columns.createdAt),
    milliseconds(columns.expiresAt),
  ]
  return Buffer.concat(
    parts.flatMap(part => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(part.length)
      return [length, part]
    }),
  )
}

function milliseconds(time: Date): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(BigInt(time.getTime()))
  return bytes
}

/** Missing keys take the zero value, so that a record of an older or newer version stays a session. */
function toClaims(value: unknown): Claims | null {
  if (!isRecord(value) || typeof value.sub !== 'string' || value.sub === '') return null
  return {
    sub: value.sub,
    exp: typeof value.exp === 'number' ? value.exp : 0,
    email: text(value.email),
    email_verified: value.email_verified === true,
    name: text(value.name),
    preferred_username: text(value.preferred_username),
    groups: texts(value.groups),
    entitlements: texts(value.entitlements),
    sid: text(value.sid),
    ak_proxy: isRecord(value.ak_proxy) ? value.ak_proxy : null,
    raw_token: text(value.raw_token),
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter(item => typeof item === 'string') : []
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}
