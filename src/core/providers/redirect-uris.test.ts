import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RedirectUri } from '../oidc/provider.sql.ts'
import { redirectUriProblems, widePatterns } from './redirect-uris.ts'

const entry = (url: string, matching_mode: RedirectUri['matching_mode'] = 'strict'): RedirectUri => ({
  matching_mode,
  url,
  redirect_uri_type: 'authorization',
})

test('addresses that run code, name a user, carry a fragment or are relative cannot be registered', () => {
  for (const url of [
    'javascript:alert(1)',
    'JavaScript:alert(1)',
    'data:text/html,x',
    'vbscript:x',
    'file:///etc/passwd',
    'blob:https://a.example/1',
    'https://user@a.example/cb',
    'https://a.example/cb#x',
    '/callback',
    'a.example/cb',
    'java\nscript:alert(1)',
    'https://a.example\\@evil.example/',
  ]) {
    const [problem = ''] = redirectUriProblems([entry(url)])
    assert.ok(problem.startsWith(url), url)
  }
  const good = ['https://a.example/cb?x=1', 'http://127.0.0.1/cb', 'com.example.app:/cb', 'https://a.example']
  assert.deepEqual(redirectUriProblems(good.map(url => entry(url))), [])
})

test('a pattern must be one that RE2 runs, and not one for a scheme that runs code', () => {
  for (const pattern of [
    '(',
    '(?=x)https://a',
    '^javascript:.*',
    '(?i)^JavaScript:.*',
    'data:.*',
    '(javascript:x)',
  ])
    assert.equal(redirectUriProblems([entry(pattern, 'regex')]).length, 1, pattern)
  assert.deepEqual(redirectUriProblems([entry('https://[a-z]+\\.a\\.example/cb', 'regex')]), [])
})

test('a pattern that lets in anybody is seen', () => {
  assert.deepEqual(widePatterns([entry('.*', 'regex'), entry('https://.*', 'regex')]), ['.*', 'https://.*'])
  assert.deepEqual(
    widePatterns([entry('https://a\\.example/.*', 'regex'), entry('https://attacker.example/')]),
    [],
  )
})
