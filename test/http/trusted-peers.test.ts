import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { test } from 'node:test'
import fc from 'fast-check'
import { forwardedAddress, parseNetwork, plainAddress } from '../../src/http/addresses.ts'
import { clientAddress, createTrustedPeers, hostOf, publicRequest } from '../../src/http/trusted-peers.ts'

const trusted = createTrustedPeers(['127.0.0.0/8', '::1/128', '10.0.0.0/8', 'fd00::/8'])

function request(peer: string | undefined, headers: Record<string, string>, encrypted = false) {
  const socket = encrypted ? { remoteAddress: peer, encrypted } : { remoteAddress: peer }
  return { headers, socket } as Pick<IncomingMessage, 'headers' | 'socket'>
}

test('only addresses inside the networks are trusted, in whatever form they are written', () => {
  for (const address of [
    '127.0.0.1',
    '::1',
    '0:0:0:0:0:0:0:1',
    '::ffff:10.1.2.3',
    '::FFFF:0a01:0203',
    'fd12::1',
    'fd12::1%eth0',
  ])
    assert.equal(trusted.isTrusted(address), true, address)
  for (const address of [
    undefined,
    '',
    '11.0.0.1',
    '::2',
    '::ffff:11.1.2.3',
    'fe80::1',
    'localhost',
    '10.0.0.1.example',
    '10.0.0.1%x',
    '127.1',
  ])
    assert.equal(trusted.isTrusted(address), false, String(address))
  assert.equal(createTrustedPeers([]).isTrusted('127.0.0.1'), false)
  assert.equal(createTrustedPeers(['::ffff:10.0.0.0/104']).isTrusted('10.9.9.9'), true)
  assert.equal(createTrustedPeers(['192.0.2.7']).isTrusted('192.0.2.8'), false)
})

test('an entry that is no network is refused and named', () => {
  for (const entry of [
    '',
    'all',
    '10.0.0.0/33',
    '10.0.0.0/8/8',
    '10.0.0/8',
    '::/129',
    '10.0.0.0/08',
    'fe80::1%eth0/64',
  ])
    assert.throws(() => createTrustedPeers([entry]), /is not a network/, entry)
})

test('for any two addresses, one is in a network of the other exactly when their leading bits are equal', () => {
  const number = (text: string) => text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
  fc.assert(
    fc.property(fc.ipV4(), fc.ipV4(), fc.integer({ min: 0, max: 32 }), (a, b, prefix) => {
      const shift = 2 ** (32 - prefix)
      const same = Math.floor(number(a) / shift) === Math.floor(number(b) / shift)
      assert.equal(createTrustedPeers([`${a}/${prefix}`]).isTrusted(b), same)
      assert.equal(createTrustedPeers([`${a}/${prefix}`]).isTrusted(`::ffff:${b}`), same)
    }),
  )
})

test('the client is the right-most address that is not trusted', () => {
  const client = (peer: string, forwardedFor: string) => clientAddress({ peer, forwardedFor, trusted })
  assert.equal(client('127.0.0.1', '203.0.113.9'), '203.0.113.9')
  assert.equal(client('127.0.0.1', '6.6.6.6, 203.0.113.9, 10.0.0.2'), '203.0.113.9')
  assert.equal(client('::ffff:127.0.0.1', '[2001:DB8::1]:443'), '2001:db8::1')
  assert.equal(client('127.0.0.1', '203.0.113.9:1234'), '203.0.113.9')
  assert.equal(client('127.0.0.1', '10.0.0.3, 10.0.0.2'), '10.0.0.3')
  assert.equal(client('198.51.100.1', '203.0.113.9'), '198.51.100.1')
})

test('anything that is no address on the way gives the peer', () => {
  for (const forwardedFor of [
    '',
    ' ',
    'unknown',
    '203.0.113.9,',
    '203.0.113.9 evil',
    '203.0.113.9:99999',
    '_hidden',
    '"203.0.113.9"',
    '[203.0.113.9]',
    '::1]:80',
    '1.2.3.4:1:2',
  ])
    assert.equal(clientAddress({ peer: '127.0.0.1', forwardedFor, trusted }), '127.0.0.1', forwardedFor)
  assert.equal(
    clientAddress({ peer: '127.0.0.1', forwardedFor: 'evil, 203.0.113.9', trusted }),
    '203.0.113.9',
  )
  assert.equal(clientAddress({ peer: undefined, forwardedFor: '203.0.113.9', trusted }), '')
})

test('a client cannot choose its own address: what it sends stands left of what the trusted proxy appended', () => {
  fc.assert(
    fc.property(
      fc.string(),
      fc.ipV4().filter(address => !trusted.isTrusted(address)),
      (sent, real) => {
        assert.equal(clientAddress({ peer: '10.0.0.1', forwardedFor: `${sent}, ${real}`, trusted }), real)
      },
    ),
  )
})

test('forwarded headers of others than trusted peers change nothing', () => {
  const headers = {
    host: 'App.example:8443',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-for': '1.1.1.1',
  }
  assert.deepEqual(publicRequest(request('203.0.113.1', headers), trusted), {
    scheme: 'http',
    host: 'app.example:8443',
    clientAddress: '203.0.113.1',
  })
  assert.deepEqual(publicRequest(request('127.0.0.1', headers), trusted), {
    scheme: 'https',
    host: 'evil.example',
    clientAddress: '1.1.1.1',
  })
  assert.equal(publicRequest(request('203.0.113.1', headers, true), trusted).scheme, 'https')
})

test('of several forwarded values the last counts, and a malformed one is as if absent', () => {
  const publicOf = (headers: Record<string, string>) =>
    publicRequest(request('127.0.0.1', { host: 'own.example', ...headers }), trusted)
  assert.equal(publicOf({ 'x-forwarded-host': 'evil.example, app.example' }).host, 'app.example')
  assert.equal(publicOf({ 'x-forwarded-proto': 'http,HTTPS' }).scheme, 'https')
  assert.equal(publicOf({ 'x-forwarded-proto': 'wss' }).scheme, 'https')
  for (const host of [
    'a b',
    'a/b',
    'a@b',
    'a:b',
    'a:0',
    'a:70000',
    'a..b',
    '',
    '[::1',
    '[1.2.3.4]',
    `${'a'.repeat(300)}`,
    'a\\b',
    'ä.example',
  ])
    assert.equal(publicOf({ 'x-forwarded-host': host }).host, 'own.example', host)
  for (const scheme of ['javascript', '', 'https:', 'file'])
    assert.equal(publicOf({ 'x-forwarded-proto': scheme }).scheme, 'http')
  assert.equal(publicRequest(request('127.0.0.1', { host: 'a b' }), trusted).host, '')
})

test('whatever the headers hold, the public request is well-formed and nothing is thrown', () => {
  fc.assert(
    fc.property(
      fc.string(),
      fc.string(),
      fc.string(),
      fc.string(),
      (host, proto, forwardedHost, forwardedFor) => {
        const headers = {
          host,
          'x-forwarded-proto': proto,
          'x-forwarded-host': forwardedHost,
          'x-forwarded-for': forwardedFor,
        }
        const result = publicRequest(request('127.0.0.1', headers), trusted)
        assert.ok(result.scheme === 'http' || result.scheme === 'https')
        assert.ok(
          result.host === '' || URL.canParse(`http://${result.host}`) || /^[\w.-]+(:\d+)?$/.test(result.host),
        )
        assert.notEqual(plainAddress(result.clientAddress), undefined)
      },
    ),
  )
})

test('addresses, networks and hosts are read strictly, and any text is safe to read', () => {
  assert.equal(hostOf('[::1]:9000'), '[::1]:9000')
  assert.equal(forwardedAddress('[::ffff:1.2.3.4]:80'), '1.2.3.4')
  assert.deepEqual(parseNetwork('::ffff:1.2.3.4'), { address: '1.2.3.4', prefix: 32, family: 'ipv4' })
  fc.assert(
    fc.property(fc.string(), text => {
      plainAddress(text)
      forwardedAddress(text)
      parseNetwork(text)
      hostOf(text)
    }),
  )
})
