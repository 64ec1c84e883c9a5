import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { hasExtendedMasterSecret } from './tls-ems.ts'

/** An SSL_SESSION of TLS 1.2 with the given elements after the cipher. */
function session(...after: number[]): Buffer {
  const body = [0x02, 1, 1, 0x02, 2, 3, 3, 0x04, 2, 0xc0, 0x2c, 0x04, 3, 1, 2, 3, ...after]
  return Buffer.from([0x30, body.length, ...body])
}

test('bit 0 of the flags tells, their absence means no', () => {
  assert.equal(hasExtendedMasterSecret(session(0xad, 3, 0x02, 1, 1)), true)
  assert.equal(hasExtendedMasterSecret(session(0xad, 4, 0x02, 2, 1, 0)), false)
  assert.equal(hasExtendedMasterSecret(session(0xad, 3, 0x02, 1, 2)), false)
  assert.equal(hasExtendedMasterSecret(session()), false)
})

test('a prefix before the structure is passed over', () => {
  const prefix = Buffer.from('\0nodejs:tls:session:1\0\0\x090.0.0.0.1')
  assert.equal(hasExtendedMasterSecret(Buffer.concat([prefix, session(0xad, 3, 0x02, 1, 1)])), true)
})

test('whatever is not such a structure is neither yes nor no', () => {
  assert.equal(hasExtendedMasterSecret(Buffer.alloc(0)), undefined)
  assert.equal(hasExtendedMasterSecret(session(0xad, 3, 0x04, 1, 1)), undefined)
  assert.equal(hasExtendedMasterSecret(session(0xad, 3, 0x02, 9, 1)), undefined)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
      assert.notEqual(hasExtendedMasterSecret(Buffer.from(bytes)), true)
    }),
  )
})

test('a structure cut off anywhere is never a yes', () => {
  const whole = session(0xad, 3, 0x02, 1, 1)
  for (let length = 0; length < whole.length; length++) {
    assert.notEqual(hasExtendedMasterSecret(whole.subarray(0, length)), true)
  }
})
