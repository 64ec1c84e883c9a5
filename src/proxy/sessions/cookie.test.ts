import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { newCookieValue, readCookieValue, sessionCookieName } from './cookie.ts'

const secret = 'K7M2P9QXA4B8C1D6E3F5G0HJLNRSTUVW'
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

test('the cookie name carries the first 8 hex digits of the hashed client id', () => {
  assert.equal(sessionCookieName('proxy-client'), 'authentik_proxy_2d3fe995')
  assert.equal(sessionCookieName('forward-client'), 'authentik_proxy_ad9d789c')
  assert.equal(sessionCookieName('domain-client'), 'authentik_proxy_daa1077f')
})

test('a new cookie value has 54 characters, is read back and names its record by the hash of its text', () => {
  const made = newCookieValue(secret)
  assert.match(made.value, /^[A-Za-z0-9_-]{54}$/)
  assert.deepEqual(readCookieValue(made.value, secret), { random: made.random, keyHash: made.keyHash })
  assert.deepEqual(made.keyHash, createHash('sha256').update(made.value).digest())
  assert.equal(made.random.length, 32)
  assert.notEqual(newCookieValue(secret).value, made.value)
})

test('a cookie of another provider is not genuine, and without a secret none is', () => {
  const { value } = newCookieValue(secret)
  assert.equal(readCookieValue(value, `${secret}x`), null)
  assert.equal(readCookieValue(value, ''), null)
  assert.throws(() => newCookieValue(''), /cookie_secret/)
})

test('changing any one character makes a cookie forged, also where only spare bits change', () => {
  const { value } = newCookieValue(secret)
  for (let at = 0; at < value.length; at++)
    for (const character of alphabet)
      if (character !== value[at])
        assert.equal(readCookieValue(value.slice(0, at) + character + value.slice(at + 1), secret), null)
})

test('no text that we did not issue is a cookie, and reading one never throws', () => {
  const { value } = newCookieValue(secret)
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom(...alphabet), minLength: 54, maxLength: 54 }),
    fc.string().map(tail => value + tail),
    fc.nat(53).map(length => value.slice(0, length)),
    fc.uint8Array({ minLength: 40, maxLength: 40 }).map(bytes => Buffer.from(bytes).toString('base64url')),
  )
  fc.assert(fc.property(texts, text => text === value || readCookieValue(text, secret) === null))
})
