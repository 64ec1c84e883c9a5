import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseFrame } from '../../src/wire/frames.ts'

test('every frame survives the wire', () => {
  fc.assert(
    fc.property(fc.integer(), fc.dictionary(fc.string(), fc.jsonValue()), (instruction, args) => {
      const text = JSON.stringify({ instruction, args })
      assert.deepEqual(parseFrame(text), JSON.parse(text))
    }),
  )
})

test('a frame without args has none', () => {
  assert.deepEqual(parseFrame('{"instruction":0}'), { instruction: 0, args: {} })
})

test('a text that is no frame gives null, whatever it is, and nothing throws', () => {
  for (const text of [
    '',
    '{',
    'null',
    '[]',
    '{"instruction":"1"}',
    '{"instruction":1.5}',
    '{"instruction":1,"args":[]}',
  ])
    assert.equal(parseFrame(text), null, text)
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json()), text => {
      const frame = parseFrame(text)
      assert.ok(frame === null || (Number.isInteger(frame.instruction) && typeof frame.args === 'object'))
    }),
  )
})

test('cutting a frame anywhere makes it no frame', () => {
  const text = JSON.stringify({
    instruction: 4,
    args: { session_id: 'a'.repeat(64), type: 'event.session.end' },
  })
  for (let length = 0; length < text.length; length++) assert.equal(parseFrame(text.slice(0, length)), null)
})
