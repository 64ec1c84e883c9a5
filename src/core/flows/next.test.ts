import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { safeNext } from './next.ts'

test('a path of this origin is followed with its query and fragment', () => {
  for (const path of [
    '/',
    '/if/user/',
    '/application/o/authorize/?client_id=a&redirect_uri=https%3A%2F%2Fx',
    '/a#b',
    '/a?b=//c',
    '/%2F/x',
  ])
    assert.equal(safeNext(path), path, path)
})

test('whatever could lead to another origin is not followed', () => {
  const refused = [
    '',
    'if/user/',
    '//evil.example',
    '///evil.example',
    '/\\evil.example',
    '/\t/evil.example',
    '\t//evil.example',
    '/\n/evil.example',
    ' /x',
    '/x y',
    'https://evil.example/',
    'https:evil.example',
    'javascript:alert(1)',
    '/..//evil.example',
    '/.//evil.example',
    '/a/..//evil.example',
    '\\\\evil.example',
    '/x\u0000',
  ]
  for (const text of refused) assert.equal(safeNext(text), null, JSON.stringify(text))
})

test('no text at all leads away from this origin', () => {
  const piece = fc.constantFrom(
    '/',
    '\\',
    '.',
    '..',
    '//',
    '@',
    ':',
    'evil.example',
    '?',
    '#',
    '\t',
    '%2f',
    'a',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), pieces => {
      const next = safeNext(pieces.join(''))
      if (next !== null) assert.equal(new URL(next, 'https://id.example').origin, 'https://id.example')
    }),
  )
})
