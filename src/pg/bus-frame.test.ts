import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type BusFrame, decodeFrame, encodeFrame } from './bus-frame.ts'

const body = fc.dictionary(
  fc.string().filter(name => name !== '__proto__'),
  fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null)),
  { noNullPrototype: true },
)
const frame: fc.Arbitrary<BusFrame> = fc.oneof(
  fc.record(
    {
      src: fc.string(),
      messages: fc.array(fc.record({ type: fc.string(), body }, { noNullPrototype: true })),
    },
    { noNullPrototype: true },
  ),
  fc.record({ src: fc.string(), blob: fc.nat().map(String) }, { noNullPrototype: true }),
  fc.record({ src: fc.string(), nonce: fc.string() }, { noNullPrototype: true }),
)

test('every frame is read as it was written', () => {
  fc.assert(fc.property(frame, value => assert.deepEqual(decodeFrame(encodeFrame(value)), value)))
})

test('no text of others makes it throw', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), text => {
      decodeFrame(text)
    }),
  )
})
