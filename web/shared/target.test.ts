import assert from 'node:assert/strict'
import { test } from 'node:test'
import { safeTarget } from './target.ts'

const origin = 'https://id.example.com'

test('paths and web addresses are followed', () => {
  assert.equal(safeTarget('/if/user/', origin), 'https://id.example.com/if/user/')
  assert.equal(safeTarget('https://app.example.com/cb?code=1', origin), 'https://app.example.com/cb?code=1')
})

test('an application scheme is followed only as the last redirect of a flow', () => {
  assert.equal(safeTarget('com.example.app:/cb?code=1', origin), null)
  assert.equal(safeTarget('com.example.app:/cb?code=1', origin, true), 'com.example.app:/cb?code=1')
})

test('schemes that run code or read local data are never followed', () => {
  for (const to of [
    'javascript:alert(1)',
    ' JaVaScRiPt:alert(1)',
    'java\nscript:alert(1)',
    'data:text/html,x',
    'vbscript:x',
    'blob:https://id.example.com/x',
    'file:///etc/passwd',
    'about:blank',
  ]) {
    assert.equal(safeTarget(to, origin, true), null, to)
  }
})

test('what is no URL is not followed', () => {
  assert.equal(safeTarget('https://', origin, true), null)
})
