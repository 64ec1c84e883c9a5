import assert from 'node:assert/strict'
import { argon2Sync } from 'node:crypto'
import { test } from 'node:test'
import { ApiError } from '../errors.ts'
import { createPasswords } from './passwords.ts'

const passwords = createPasswords({ concurrency: 2 })

test('a hash verifies its own password and no other', async () => {
  const stored = await passwords.hash('correct horse')
  assert.match(stored, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
  assert.equal(await passwords.verify('correct horse', stored), true)
  assert.equal(await passwords.verify('correct horsf', stored), false)
  assert.notEqual(await passwords.hash('correct horse'), stored)
})

test('two Unicode forms of one text are one password', async () => {
  const stored = await passwords.hash('caf\u00e9')
  assert.equal(await passwords.verify('cafe\u0301', stored), true)
})

test('no stored hash, a broken one and an over-long password never verify', async () => {
  const long = 'x'.repeat(1025)
  assert.equal(await passwords.verify('', null), false)
  assert.equal(await passwords.verify('x', '$argon2id$v=19$m=99999999,t=2,p=1$AAAAAAAAAAAAAAAA$AAAA'), false)
  assert.equal(await passwords.verify('x', 'plain'), false)
  assert.equal(await passwords.verify(long, await passwords.hash('')), false)
  await assert.rejects(
    passwords.hash(long),
    (error: unknown) => error instanceof ApiError && error.status === 400,
  )
})

test('a hash with other parameters still verifies and asks for a new one', async () => {
  const nonce = Buffer.alloc(16, 7)
  const key = argon2Sync('argon2id', {
    message: 'old',
    nonce,
    parallelism: 1,
    tagLength: 32,
    memory: 8192,
    passes: 1,
  })
  const text = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '')
  const stored = `$argon2id$v=19$m=8192,t=1,p=1$${text(nonce)}$${text(key)}`
  assert.equal(await passwords.verify('old', stored), true)
  assert.equal(passwords.needsRehash(stored), true)
  assert.equal(passwords.needsRehash(await passwords.hash('new')), false)
})

test('who waits longer than the limit is told to come back', async () => {
  const narrow = createPasswords({ concurrency: 1, maxQueueMs: 1 })
  const results = await Promise.allSettled(Array.from({ length: 6 }, () => narrow.verify('x', null)))
  const refused = results.filter(result => result.status === 'rejected')
  assert.ok(refused.length >= 4, `${refused.length} of 6 were refused`)
  for (const { reason } of refused) {
    assert.ok(reason instanceof ApiError)
    assert.equal(reason.status, 503)
    assert.equal(reason.retryAfterSeconds, 10)
  }
  assert.equal(await narrow.verify('x', null), false, 'the queue serves again afterwards')
})
