import assert from 'node:assert/strict'
import { test } from 'node:test'
import { byteRange, noneMatch } from './range.ts'

const etag = '"abc"'

test('one range of bytes is answered, from the front or from the end', () => {
  assert.deepEqual(byteRange('bytes=0-0', undefined, etag, 10), { start: 0, end: 0 })
  assert.deepEqual(byteRange('bytes=2-', undefined, etag, 10), { start: 2, end: 9 })
  assert.deepEqual(byteRange('bytes=2-99', undefined, etag, 10), { start: 2, end: 9 })
  assert.deepEqual(byteRange('bytes=-3', undefined, etag, 10), { start: 7, end: 9 })
  assert.deepEqual(byteRange('bytes=-30', undefined, etag, 10), { start: 0, end: 9 })
})

test('a range behind the end cannot be answered', () => {
  assert.equal(byteRange('bytes=10-', undefined, etag, 10), 'unsatisfiable')
  assert.equal(byteRange('bytes=-0', undefined, etag, 10), 'unsatisfiable')
})

test('what is not one range of bytes asks for the whole', () => {
  for (const header of [
    undefined,
    'bytes=0-1,3-4',
    'bytes=-',
    'bytes=5-2',
    'items=0-1',
    'bytes=a-b',
    'bytes 0-1',
    '0-1',
  ])
    assert.equal(byteRange(header, undefined, etag, 10), null, header)
})

test('a range of another version asks for the whole', () => {
  assert.deepEqual(byteRange('bytes=0-1', etag, etag, 10), { start: 0, end: 1 })
  assert.equal(byteRange('bytes=0-1', '"other"', etag, 10), null)
  assert.equal(byteRange('bytes=0-1', 'Sat, 21 Nov 2026 00:00:00 GMT', etag, 10), null)
})

test('a tag is found in a list, weak or not', () => {
  for (const header of ['"abc"', 'W/"abc"', '"x", "abc"', '*'])
    assert.equal(noneMatch(header, etag), true, header)
  for (const header of [undefined, '"x"', 'abc', '']) assert.equal(noneMatch(header, etag), false, header)
})
