import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compileAllowList, decodedPath } from './allow-list.ts'

test('blank lines and carriage returns match nothing, patterns match anywhere and case counts', () => {
  const list = compileAllowList('\n  \r\n^/a$\r\n/b', () => assert.fail('nothing to warn about'))
  assert.deepEqual(
    ['/a', '/x/b', '/a/', '/A', '', '/'].map(path => list.matches(path)),
    [true, true, false, false, false, false],
  )
  assert.equal(compileAllowList('', () => {}).matches('/'), false)
})

test('a pattern made for slow engines is quick', () => {
  const list = compileAllowList('^(a+)+$', () => {})
  const start = performance.now()
  assert.equal(list.matches(`/${'a'.repeat(5000)}!`), false)
  assert.ok(performance.now() - start < 2000)
})

test('what is refused by RE2 or speaks of a query is named with its reason', () => {
  const named: string[] = []
  compileAllowList('(\n(?=a)\n\\1\na\\?b\na[?]b\na?b', line => named.push(line))
  assert.deepEqual(named, ['(', '(?=a)', '\\1', 'a\\?b', 'a[?]b'])
})

test('a path that comes through never holds what two programs read differently', () => {
  const piece = fc.constantFrom(
    '/',
    '.',
    '..',
    '%2e',
    '%2E',
    '%2f',
    '%5c',
    '\\',
    ';',
    'a',
    '%00',
    '%0d',
    '%25',
    '2e',
    '%',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), pieces => {
      const path = decodedPath(`/${pieces.join('')}`)
      if (path === null) return
      assert.ok(!path.includes('\\') && !/[\x00-\x1f]/.test(path))
      for (const segment of path.split('/')) assert.ok(!/^\.\.?(;|$)/.test(segment), path)
      assert.ok(!/%(2e|2f|5c|00)/i.test(path), path)
    }),
  )
})
