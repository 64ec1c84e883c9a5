import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeFileRecord, encodeFileRecord, keyHashOf, recordFileName } from './file-record.ts'
import type { SessionRecord } from './store.ts'

const record: SessionRecord = {
  keyHash: randomBytes(32),
  clientId: 'a client "ü"',
  sidHash: randomBytes(32),
  userHash: randomBytes(32),
  sealed: randomBytes(300),
  createdAt: new Date(1_800_000_000_123),
  expiresAt: new Date(1_800_003_600_000),
}
const bytes = encodeFileRecord(record)

test('a record survives its file, with and without a login', () => {
  assert.deepEqual(decodeFileRecord(record.keyHash, bytes), record)
  const headerLogin = { ...record, sidHash: null }
  assert.deepEqual(decodeFileRecord(record.keyHash, encodeFileRecord(headerLogin)), headerLogin)
})

test('a file name stands for a key hash, and no other name does', () => {
  assert.deepEqual(keyHashOf(recordFileName(record.keyHash)), record.keyHash)
  for (const name of [
    'session_',
    'session_ab',
    `session_${'A'.repeat(64)}`,
    `x_${'a'.repeat(64)}`,
    `.session_${'a'.repeat(64)}.tmp`,
  ])
    assert.equal(keyHashOf(name), null)
})

test('a file that differs in one bit from what we wrote is no record, or another one, and reading it never throws', () => {
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
      const changed = Buffer.from(bytes)
      changed[at]! ^= bits
      const read = decodeFileRecord(record.keyHash, changed)
      return read === null || !encodeFileRecord(read).equals(bytes)
    }),
    { numRuns: 1000 },
  )
})

test('there is one spelling: white space, reordering, extra keys and foreign bytes make a file unreadable', () => {
  const text = bytes.toString()
  const spellings = [` ${text}`, `${text}\n`, text.replace('"v":1', '"v":2'), text.replace('{', '{"more":1,')]
  for (const spelling of spellings)
    assert.equal(decodeFileRecord(record.keyHash, Buffer.from(spelling)), null)
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        fc.json().map(json => Buffer.from(json)),
      ),
      any => {
        return decodeFileRecord(record.keyHash, Buffer.from(any)) === null
      },
    ),
  )
})
