import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { cookieValues, parseCookies, serializeCookie, withoutCookies } from '../../src/http/cookies.ts'

const name = fc.stringMatching(/^[A-Za-z0-9_!#$%&'*+.^`|~-]{1,20}$/)
const value = fc.stringMatching(/^[A-Za-z0-9_=+/.:-]{0,40}$/)

test('what is written is what is read', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 20 }), pairs => {
      const header = pairs.map(([one, text]) => serializeCookie(one, text).split(';')[0]).join('; ')
      assert.deepEqual(
        parseCookies(header),
        pairs.map(([one, text]) => ({ name: one, value: text })),
      )
    }),
  )
})

test('any header can be read, duplicates are kept, and reading is bounded', () => {
  fc.assert(fc.property(fc.string(), text => void parseCookies(text)))
  assert.deepEqual(parseCookies('a=1; a=2;; b ; =x; c="q"; d=1=2'), [
    { name: 'a', value: '1' },
    { name: 'a', value: '2' },
    { name: 'c', value: 'q' },
    { name: 'd', value: '1=2' },
  ])
  assert.deepEqual(cookieValues('a=1; ab=3; a=2', 'a'), ['1', '2'])
  assert.deepEqual(cookieValues(undefined, 'a'), [])
  assert.equal(parseCookies('a=1;'.repeat(5000)).length, 400)
})

test('unwanted cookies are gone in every spelling, the others stay as they were', () => {
  const unwanted = (cookie: string) => cookie.startsWith('authentik_')
  assert.equal(withoutCookies('a=1; authentik_session=x; b="2; 3"', unwanted), 'a=1; b="2; 3"')
  assert.equal(withoutCookies('authentik_session=x', unwanted), undefined)
  assert.equal(withoutCookies('authentik_session', unwanted), undefined)
  assert.equal(withoutCookies(';\tauthentik_session =x ;a=1;authentik_session=y', unwanted), 'a=1')
  assert.equal(withoutCookies(undefined, unwanted), undefined)
  fc.assert(
    fc.property(fc.string(), fc.string(), (before, after) => {
      const left = withoutCookies(`${before}; authentik_session=secret; ${after}`, unwanted)
      assert.equal(cookieValues(left, 'authentik_session').length, 0)
    }),
  )
})

test('Set-Cookie carries its attributes', () => {
  assert.equal(
    serializeCookie('s', 'v', {
      path: '/a',
      domain: 'example.com',
      maxAge: 60.9,
      httpOnly: true,
      secure: true,
      sameSite: 'Lax',
    }),
    's=v; Path=/a; Domain=example.com; Max-Age=60; HttpOnly; Secure; SameSite=Lax',
  )
  assert.equal(
    serializeCookie('s', '', { maxAge: 0 }),
    's=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT',
  )
})

test('nothing that could break out of a header is written', () => {
  for (const bad of ['', 'a b', 'a;b', 'a=b', 'a\r\nb', 'ä'])
    assert.throws(() => serializeCookie(bad, 'x'), TypeError)
  for (const bad of ['a;b', 'a\r\n', 'a b', '"x"', 'a,b', 'ä', '\0', 'a\\'])
    assert.throws(() => serializeCookie('s', bad), TypeError, bad)
  for (const path of ['a', '/a;b', '/\n']) assert.throws(() => serializeCookie('s', 'x', { path }), TypeError)
  for (const domain of ['a;b', 'a b', '*.a', 'a..b'])
    assert.throws(() => serializeCookie('s', 'x', { domain }), TypeError)
  assert.throws(() => serializeCookie('s', 'x', { maxAge: Number.NaN }), TypeError)
})
