// A session as a record: what stands in clear, and what identifies it.
import { createHash } from 'node:crypto'
import type { Claims } from '../../wire/outpost.ts'
import { type CookieKey, sha256 } from './cookie.ts'
import { sealClaims } from './seal.ts'
import type { SessionProvider } from './sessions.ts'
import type { SessionRecord } from './store.ts'

/** @returns the record of a new session, its claims sealed for exactly these columns */
export function newRecord(
  provider: SessionProvider,
  claims: Claims,
  key: CookieKey,
  createdAt: Date,
  expiresAt: Date,
): SessionRecord {
  const columns = {
    keyHash: key.keyHash,
    clientId: provider.clientId,
    sidHash: claims.sid === '' ? null : sha256(claims.sid),
    userHash: sha256(claims.sub),
    createdAt,
    expiresAt,
  }
  const { cookieSecret } = provider
  return { ...columns, sealed: sealClaims(claims, columns, { random: key.random, cookieSecret }) }
}

/** @returns whether the record is the one this cookie stands for at this provider */
export function isFor(record: SessionRecord, provider: SessionProvider, key: CookieKey): boolean {
  return record.clientId === provider.clientId && record.keyHash.equals(key.keyHash)
}

/** Equal for the same record, so that a renewed lease costs no decryption. */
export function digestOf(record: SessionRecord): string {
  const { clientId, sidHash, userHash, createdAt, expiresAt, sealed } = record
  return createHash('sha256')
    .update(
      JSON.stringify([
        clientId,
        sidHash?.toString('hex') ?? null,
        userHash.toString('hex'),
        createdAt.getTime(),
        expiresAt.getTime(),
      ]),
    )
    .update(sealed)
    .digest('base64')
}
