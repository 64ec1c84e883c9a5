// A session record as a file: `session_<hex key hash>`, JSON with the clear columns and the sealed bytes. There is exactly
// one spelling of a record; a file that differs from it in one byte is not a record.
import type { SessionRecord } from './store.ts'

const namePattern = /^session_([0-9a-f]{64})$/

/** @returns the name of the file that keeps the record under `keyHash` */
export function recordFileName(keyHash: Buffer): string {
  return `session_${keyHash.toString('hex')}`
}

/** @returns the key hash a file name stands for, or null for a file that is not ours */
export function keyHashOf(fileName: string): Buffer | null {
  const match = namePattern.exec(fileName)
  return match === null ? null : Buffer.from(match[1]!, 'hex')
}

/** @returns the bytes of the file; the key hash is in its name only */
export function encodeFileRecord(record: SessionRecord): Buffer {
  return Buffer.from(
    JSON.stringify({
      v: 1,
      client_id: record.clientId,
      sid_hash: record.sidHash === null ? null : record.sidHash.toString('hex'),
      user_hash: record.userHash.toString('hex'),
      created_at: record.createdAt.toISOString(),
      expires_at: record.expiresAt.toISOString(),
      sealed: record.sealed.toString('base64url'),
    }),
    'utf8',
  )
}

/** @returns null when `bytes` are anything but what `encodeFileRecord` writes; never throws */
export function decodeFileRecord(keyHash: Buffer, bytes: Buffer): SessionRecord | null {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    if (value === null || typeof value !== 'object') return null
    const { client_id, sid_hash, user_hash, created_at, expires_at, sealed } = value as Record<
      string,
      unknown
    >
    if (typeof client_id !== 'string' || typeof user_hash !== 'string' || typeof sealed !== 'string')
      return null
    if (typeof created_at !== 'string' || typeof expires_at !== 'string') return null
    if (sid_hash !== null && typeof sid_hash !== 'string') return null
    const record: SessionRecord = {
      keyHash,
      clientId: client_id,
      sidHash: sid_hash === null ? null : Buffer.from(sid_hash, 'hex'),
      userHash: Buffer.from(user_hash, 'hex'),
      sealed: Buffer.from(sealed, 'base64url'),
      createdAt: new Date(created_at),
      expiresAt: new Date(expires_at),
    }
    return encodeFileRecord(record).equals(bytes) ? record : null
  } catch {
    return null // no JSON, or a time that is none
  }
}
