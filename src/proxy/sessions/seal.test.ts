import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Claims } from '../../wire/outpost.ts'
import { sha256 } from './cookie.ts'
import { openClaims, type RecordColumns, sealClaims } from './seal.ts'
import type { SessionRecord } from './store.ts'

const key = { random: randomBytes(32), cookieSecret: 'a provider secret' }
const claims: Claims = {
  sub: 'user-1',
  exp: 1_900_000_000,
  email: 'ü@example.com',
  email_verified: true,
  name: 'Ada',
  preferred_username: 'ada',
  groups: [],
  entitlements: ['x'],
  sid: 'a'.repeat(64),
  ak_proxy: { user_attributes: { deep: { list: [1, null, 'x'] } }, is_superuser: false },
  raw_token: 'header.payload.signature',
}
const columns: RecordColumns = {
  keyHash: sha256('cookie'),
  clientId: 'client',
  sidHash: sha256(claims.sid),
  userHash: sha256(claims.sub),
  createdAt: new Date(1_800_000_000_000),
  expiresAt: new Date(1_800_003_600_000),
}
const record: SessionRecord = { ...columns, sealed: sealClaims(claims, columns, key) }

test('claims come back exactly as they were sealed, null and empty lists included', () => {
  assert.deepEqual(openClaims(record, key), claims)
  const bare = { ...claims, ak_proxy: null, groups: [], email: '' }
  assert.deepEqual(openClaims({ ...columns, sealed: sealClaims(bare, columns, key) }, key), bare)
})

test('keys missing in the sealed claims take the zero value, and claims without a subject are no session', () => {
  const sealed = (value: unknown): SessionRecord => ({
    ...columns,
    sealed: sealClaims(value as Claims, columns, key),
  })
  assert.deepEqual(openClaims(sealed({ sub: 'u', more: 1 }), key), {
    ...{ sub: 'u', exp: 0, email: '', email_verified: false, name: '', preferred_username: '' },
    ...{ groups: [], entitlements: [], sid: '', ak_proxy: null, raw_token: '' },
  })
  assert.equal(openClaims(sealed({}), key), null)
  assert.equal(openClaims(sealed([1]), key), null)
})

test('nothing of the claims can be seen in the sealed bytes', () => {
  for (const text of ['user-1', 'Ada', 'payload', 'email'])
    assert.equal(record.sealed.includes(Buffer.from(text)), false)
})

test('moving, lengthening or editing any column makes a record unreadable', () => {
  const other = sha256('other')
  const edits: Record<string, Partial<SessionRecord>> = {
    'moved to another cookie': { keyHash: other },
    'moved to another provider': { clientId: 'client2' },
    'moved to another login': { sidHash: other },
    'cut from its login': { sidHash: null },
    'an empty login': { sidHash: Buffer.alloc(0) },
    'moved to another user': { userHash: other },
    'columns exchanged': { sidHash: columns.userHash, userHash: columns.sidHash! },
    'created later': { createdAt: new Date(columns.createdAt.getTime() + 1) },
    'lengthened by a millisecond': { expiresAt: new Date(columns.expiresAt.getTime() + 1) },
    'for ever': { expiresAt: new Date(Number.NaN) },
    'another version': { sealed: Buffer.concat([Buffer.of(2), record.sealed.subarray(1)]) },
    'cut short': { sealed: record.sealed.subarray(0, -1) },
    'one byte more': { sealed: Buffer.concat([record.sealed, Buffer.of(0)]) },
    nothing: { sealed: Buffer.alloc(0) },
  }
  for (const [what, edit] of Object.entries(edits))
    assert.equal(openClaims({ ...record, ...edit }, key), null, what)
})

test('only both halves of the key together open a record', () => {
  assert.equal(openClaims(record, { ...key, random: randomBytes(32) }), null)
  assert.equal(openClaims(record, { ...key, cookieSecret: 'changed' }), null)
})

test('any change of any bit in the sealed bytes makes a record unreadable, and opening never throws', () => {
  fc.assert(
    fc.property(fc.nat(record.sealed.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
      const sealed = Buffer.from(record.sealed)
      sealed[at]! ^= bits
      return openClaims({ ...record, sealed }, key) === null
    }),
  )
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      bytes => openClaims({ ...record, sealed: Buffer.from(bytes) }, key) === null,
    ),
  )
})

test('two records never have the same authenticated bytes, whatever text the client id is', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), clientId => {
      const moved = { ...record, clientId }
      return clientId === record.clientId || openClaims(moved, key) === null
    }),
  )
})
