import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RedirectUri } from './provider.sql.ts'
import { isRegisteredUri, originsOf, parseRedirectUri } from './redirect-uri.ts'

const strict = (url: string): RedirectUri => ({
  matching_mode: 'strict',
  url,
  redirect_uri_type: 'authorization',
})
const regex = (url: string): RedirectUri => ({
  matching_mode: 'regex',
  url,
  redirect_uri_type: 'authorization',
})
const allowed = (uri: string, entry: RedirectUri, publicClient = false) =>
  isRegisteredUri(uri, [entry], { type: 'authorization', publicClient })

test('strict entries are compared as text, query string included', () => {
  const entry = strict('https://app.example.com/cb?a=b')
  assert.equal(allowed('https://app.example.com/cb?a=b', entry), true)
  for (const uri of [
    'https://app.example.com/cb',
    'https://app.example.com/cb?a=b&c=d',
    'https://app.example.com/cb/?a=b',
    'https://APP.example.com/cb?a=b',
    'https://app.example.com:443/cb?a=b',
    'https://app.example.com/x/../cb?a=b',
    'https://appXexample.com/cb?a=b',
  ])
    assert.equal(allowed(uri, entry), false, uri)
})

test('an entry for logout allows no authorization, and the other way round', () => {
  const logout: RedirectUri = { ...strict('https://app.example.com/'), redirect_uri_type: 'logout' }
  assert.equal(isRegisteredUri(logout.url, [logout], { type: 'authorization', publicClient: false }), false)
  assert.equal(isRegisteredUri(logout.url, [logout], { type: 'logout', publicClient: false }), true)
})

test('schemes that run code, fragments, user info and control characters are refused even when registered', () => {
  for (const uri of [
    'javascript:alert(1)',
    'JavaScript:alert(1)',
    'jAvAsCrIpT://app.example.com/%0aalert(1)',
    'data:text/html,x',
    'vbscript:x',
    'FILE:///etc/passwd',
    'blob:https://app.example.com/x',
    'https://app.example.com/#x',
    'https://user@app.example.com/',
    'https://app.example.com\\@evil.test/',
    'https://a@@evil.test/',
    'https://app.example.com/\tx',
    'https://app.example.com/\r\nx',
    '/relative',
    '//app.example.com/',
    '',
  ]) {
    assert.equal(parseRedirectUri(uri), undefined, uri)
    assert.equal(allowed(uri, strict(uri)), false, uri)
    assert.equal(allowed(uri, regex('.*')), false, uri)
  }
})

test('a custom scheme is allowed when it is registered as text, and to a pattern only when the pattern names it', () => {
  assert.equal(allowed('com.example.app:/callback', strict('com.example.app:/callback')), true)
  assert.equal(allowed('com.example.app:/callback', regex('com\\.example\\.app:.*')), false)
  assert.equal(allowed('myapp:/callback', regex('myapp:.*')), true)
  assert.equal(allowed('other:/callback', regex('.*')), false)
})

test('any port of a loopback address is allowed to public clients, of localhost to nobody', () => {
  const entry = strict('http://127.0.0.1/cb')
  assert.equal(allowed('http://127.0.0.1:51234/cb', entry, true), true)
  assert.equal(allowed('http://[::1]:5/cb?x=y', strict('http://[::1]/cb?x=y'), true), true)
  assert.equal(allowed('http://127.0.0.1:51234/cb', entry, false), false)
  assert.equal(allowed('http://127.0.0.1:51234/other', entry, true), false)
  assert.equal(allowed('https://127.0.0.1:51234/cb', entry, true), false)
  assert.equal(allowed('http://127.0.0.1:99999/cb', entry, true), false)
  assert.equal(allowed('http://localhost:51234/cb', strict('http://localhost/cb'), true), false)
  assert.equal(allowed('http://127.0.0.1:2/cb', strict('http://127.0.0.1:1/cb'), true), false)
})

test('patterns match from end to end and see canonical URLs only', () => {
  const entry = regex('https://[a-z]+\\.example\\.com/cb.*')
  assert.equal(allowed('https://one.example.com/cb', entry), true)
  assert.equal(allowed('https://one.example.com/cb/deep?x=y', entry), true)
  for (const uri of [
    'https://evil.test/?https://one.example.com/cb',
    'xhttps://one.example.com/cb',
    'https://one.example.com/cb/../../admin',
    'https://one.example.com/cb/%2e%2e/admin',
    'https://one.example.com:443/cb',
    'https://ONE.example.com/cb',
    'https://one.example.com/cb?code=planted',
    'https://one.example.com/cb?state=planted',
    'https://one.example.com/cb?iss=planted',
    'https://one.example.com/cb?error=planted',
  ])
    assert.equal(allowed(uri, entry), false, uri)
  assert.equal(allowed('https://one.example.com/cb', regex('(broken')), false)
})

test('a pattern that would take other engines for ever is answered at once', () => {
  const uri = `https://${'a'.repeat(5000)}!`
  const started = performance.now()
  assert.equal(allowed(uri, regex('https://(a+)+b')), false)
  assert.ok(performance.now() - started < 1000)
})

test('only strict web addresses name an origin that may call from a browser', () => {
  const origins = originsOf([
    strict('https://a.example.com:8443/cb'),
    strict('app:/cb'),
    regex('https://b\\.example\\.com/'),
  ])
  assert.deepEqual([...origins], ['https://a.example.com:8443'])
})
