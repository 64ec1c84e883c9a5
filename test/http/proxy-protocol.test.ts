import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseProxyHeader } from '../../src/http/proxy-protocol.ts'
import { proxyV2 } from './sockets.ts'

const v1 = (text: string) => parseProxyHeader(Buffer.from(text, 'latin1'))

test('version 1 gives the source address and the length of its line', () => {
  assert.deepEqual(v1('PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\nGET /'), {
    kind: 'header',
    length: 40,
    source: { address: '192.0.2.1', port: 1234 },
  })
  assert.deepEqual(v1('PROXY TCP6 2001:DB8::1 ::1 1 2\r\n'), {
    kind: 'header',
    length: 32,
    source: { address: '2001:db8::1', port: 1 },
  })
  assert.deepEqual(v1('PROXY UNKNOWN whatever\r\n'), { kind: 'header', length: 24, source: undefined })
})

test('version 1 that breaks its rules is invalid', () => {
  for (const text of [
    'PROXY TCP4 192.0.2.1 192.0.2.2 1234\r\n',
    'PROXY TCP4 ::1 ::1 1 2\r\n',
    'PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n',
    'PROXY TCP4 192.0.2.1 192.0.2.2 70000 80\r\n',
    'PROXY TCP4 192.0.2.1 192.0.2.2 01 80\r\n',
    'PROXY TCP4 192.0.2.1 192.0.2.2 1 80 x\r\n',
    'PROXY UDP4 192.0.2.1 192.0.2.2 1 80\r\n',
    `PROXY TCP4 ${'1'.repeat(200)}`,
  ])
    assert.equal(v1(text).kind, 'invalid', text)
})

test('version 2 gives IPv4 and IPv6 sources, skips extensions, and takes health checks as no source', () => {
  const four = proxyV2('192.0.2.1', 1234, Buffer.from([4, 0, 1, 0]))
  assert.deepEqual(parseProxyHeader(four), {
    kind: 'header',
    length: 32,
    source: { address: '192.0.2.1', port: 1234 },
  })
  const six = proxyV2('2001:db8::7', 99)
  assert.deepEqual(parseProxyHeader(six), {
    kind: 'header',
    length: 52,
    source: { address: '2001:db8::7', port: 99 },
  })
  const local = Buffer.from(four)
  local[12] = 0x20
  assert.deepEqual(parseProxyHeader(local), { kind: 'header', length: 32, source: undefined })
})

test('version 2 with a bad version, a short address block or an endless length is invalid', () => {
  const bad = (change: (bytes: Buffer) => void) => {
    const bytes = proxyV2('192.0.2.1', 1)
    change(bytes)
    return parseProxyHeader(bytes).kind
  }
  assert.equal(
    bad(bytes => bytes.writeUInt8(0x11, 12)),
    'invalid',
  )
  assert.equal(
    bad(bytes => bytes.writeUInt8(0x22, 12)),
    'invalid',
  )
  assert.equal(
    bad(bytes => bytes.writeUInt16BE(4, 14)),
    'invalid',
  )
  assert.equal(
    bad(bytes => bytes.writeUInt16BE(65_535, 14)),
    'invalid',
  )
})

test('every proper beginning of a header asks for more, and any other bytes are ordinary traffic', () => {
  const whole = [
    Buffer.from('PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n'),
    proxyV2('192.0.2.1', 1),
    proxyV2('::1', 1),
  ]
  for (const bytes of whole)
    for (let at = 0; at < bytes.length; at++)
      assert.equal(parseProxyHeader(bytes.subarray(0, at)).kind, 'more')
  for (const text of ['GET / HTTP/1.1\r\n', '\x16\x03\x01', 'PRX', '\r\n\r\n\0\r\nQUIX'])
    assert.equal(v1(text).kind, 'none')
  fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), bytes => void parseProxyHeader(Buffer.from(bytes))))
})
