import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import tls from 'node:tls'
import { createListener, type ListenerOptions } from '../../src/http/listener.ts'
import { requestId } from '../../src/http/request-id.ts'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import { createLog, silentLog } from '../../src/log.ts'
import { converse, listen, proxyV2, selfSigned } from './sockets.ts'

const loopback = { host: '127.0.0.1', port: 0 }
const get = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'
const getAndClose = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'
const answerPeer = (request: IncomingMessage, response: ServerResponse) => {
  response.end(`peer=${request.socket.remoteAddress} port=${request.socket.remotePort};`)
}

async function open(t: TestContext, options: Partial<ListenerOptions>) {
  const listener = await createListener({
    name: 'HTTP',
    listen: [loopback],
    handler: answerPeer,
    trusted: createTrustedPeers(['127.0.0.0/8']),
    log: silentLog,
    ...options,
  })
  t.after(() => listener.close({ graceMs: 0 }))
  return { listener, port: listener.addresses[0]?.port ?? 0 }
}

test('a listener opens every address of its list, or none', async t => {
  const two = await open(t, { listen: [loopback, loopback] })
  assert.equal(new Set(two.listener.addresses.map(({ port }) => port)).size, 2)
  const none = await open(t, { listen: [] })
  assert.deepEqual(none.listener.addresses, [])
  const taken = { host: '127.0.0.1', port: two.port }
  await assert.rejects(
    createListener({
      name: 'HTTP',
      setting: 'AUTHENTIK_LISTEN__HTTP',
      listen: [loopback, taken],
      handler: answerPeer,
      trusted: createTrustedPeers([]),
      log: silentLog,
    }),
    {
      name: 'ListenError',
      code: 'EADDRINUSE',
      message: `cannot listen on 127.0.0.1:${two.port} (AUTHENTIK_LISTEN__HTTP): the port is taken; stop the program that has it or choose another one`,
    },
  )
})

test('each listener that opens is logged with its address', async t => {
  const lines: string[] = []
  const log = createLog({ level: 'info', logger: 'x', write: line => lines.push(line) })
  const { port } = await open(t, { log })
  assert.equal(lines.length, 1)
  const line = JSON.parse(lines[0] ?? '')
  assert.equal(line.event, 'Starting HTTP server')
  assert.equal(line.listen, `127.0.0.1:${port}`)
})

test('a handler that throws or rejects gives 500 with an id that is in the log, and no cause', async t => {
  const lines: string[] = []
  const log = createLog({ level: 'error', logger: 'x', write: line => lines.push(line) })
  const ids: string[] = []
  const { port } = await open(t, {
    log,
    handler: (request, response) => {
      ids.push(requestId(request))
      response.setHeader('set-cookie', 'leftover=1')
      if (request.url === '/async') return Promise.reject(new Error('inner secret'))
      throw new Error('inner secret')
    },
  })
  const text = await fetch(`http://127.0.0.1:${port}/`)
  assert.equal(text.status, 500)
  assert.equal(text.headers.get('set-cookie'), null)
  assert.equal(await text.text(), `Internal server error.\nRequest id: ${ids[0]}\n`)
  const json = await fetch(`http://127.0.0.1:${port}/async`, { headers: { accept: 'application/json' } })
  assert.deepEqual(await json.json(), { detail: 'Internal server error.', request_id: ids[1] })
  assert.deepEqual(
    lines.map(line => JSON.parse(line).request_id),
    ids,
  )
})

test('an answer that broke in the middle is cut, not ended as if it were whole', async t => {
  const { port } = await open(t, {
    handler: (_request, response) => {
      response.writeHead(200, { 'content-length': 100 })
      response.write('half')
      throw new Error('broken')
    },
  })
  await assert.rejects(async () => await (await fetch(`http://127.0.0.1:${port}/`)).text())
})

test('what is no HTTP gets 400, headers without end get 431, and the listener lives on', async t => {
  const { port } = await open(t, {})
  assert.match(await converse(t, port, 'nonsense\r\n\r\n').closed, /^HTTP\/1\.1 400 /)
  assert.match(
    await converse(t, port, `GET / HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(40_000)}\r\n\r\n`).closed,
    /^HTTP\/1\.1 431 /,
  )
  assert.match(
    await converse(
      t,
      port,
      'GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n',
    ).closed,
    /^HTTP\/1\.1 400 /,
  )
  assert.match(await converse(t, port, getAndClose).closed, /^HTTP\/1\.1 200 /)
})

test('a PROXY header of a trusted peer names the client, in one piece or byte by byte, and stays optional', async t => {
  const { port } = await open(t, { proxyProtocol: true })
  const line = 'PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n'
  assert.match(await converse(t, port, line + getAndClose).closed, /peer=203\.0\.113\.9 port=4711;/)
  assert.match(
    await converse(t, port, Buffer.concat([proxyV2('2001:db8::9', 5), Buffer.from(getAndClose)])).closed,
    /peer=2001:db8::9 port=5;/,
  )
  assert.match(await converse(t, port, getAndClose).closed, /peer=127\.0\.0\.1 /)
  assert.match(await converse(t, port, `PROXY UNKNOWN\r\n${getAndClose}`).closed, /peer=127\.0\.0\.1 /)

  const slow = converse(t, port)
  slow.socket.setNoDelay(true)
  for (const byte of line) {
    slow.socket.write(byte)
    await new Promise(resolve => setImmediate(resolve))
  }
  slow.socket.write(get)
  await slow.until('peer=203.0.113.9 port=4711;')
  slow.socket.write(getAndClose)
  assert.equal(
    (await slow.closed).split('peer=203.0.113.9').length,
    3,
    'kept for later requests of the connection',
  )
})

test('a malformed PROXY header of a trusted peer ends the connection and is logged', async t => {
  const lines: string[] = []
  const log = createLog({ level: 'warning', logger: 'x', write: line => lines.push(line) })
  const { port } = await open(t, { proxyProtocol: true, log })
  assert.equal(await converse(t, port, `PROXY TCP4 a b c d\r\n${getAndClose}`).closed, '')
  assert.equal(JSON.parse(lines[0] ?? '{}').event, 'connection refused')
})

test('a PROXY header of anyone else, or where it is off, is a bad request', async t => {
  const options = [
    { proxyProtocol: true, trusted: createTrustedPeers(['10.0.0.0/8']) },
    { proxyProtocol: false, trusted: createTrustedPeers(['127.0.0.0/8']) },
  ]
  for (const one of options) {
    const { port } = await open(t, one)
    assert.match(
      await converse(t, port, `PROXY TCP4 203.0.113.9 127.0.0.1 1 80\r\n${getAndClose}`).closed,
      /^HTTP\/1\.1 400 /,
    )
    assert.match(
      await converse(t, port, Buffer.concat([proxyV2('203.0.113.9', 5), Buffer.from(getAndClose)])).closed,
      /^HTTP\/1\.1 400 /,
    )
    assert.match(await converse(t, port, getAndClose).closed, /peer=127\.0\.0\.1 /)
  }
})

test('the TLS listener picks the certificate by name, has a default, and refuses TLS 1.1', async t => {
  const standard = selfSigned(t, 'default.example')
  const other = tls.createSecureContext(selfSigned(t, 'app.example'))
  const { port } = await open(t, {
    tls: { ...standard, sni: name => (name === 'app.example' ? other : undefined) },
  })
  const nameOf = async (servername: string | undefined, more: tls.ConnectionOptions = {}) => {
    const socket = tls.connect({ host: '127.0.0.1', port, servername, rejectUnauthorized: false, ...more })
    t.after(() => socket.destroy())
    await once(socket, 'secureConnect')
    return socket.getPeerCertificate().subject.CN
  }
  assert.equal(await nameOf('App.Example'), 'app.example')
  assert.equal(await nameOf('unknown.example'), 'default.example')
  assert.equal(await nameOf(undefined), 'default.example')
  await assert.rejects(
    nameOf('app.example', { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
  )
})

test('a PROXY header before TLS names the client of the request inside, and TLS without one works', async t => {
  const { port } = await open(t, { proxyProtocol: true, tls: selfSigned(t, 'default.example') })
  const raw = connect({ host: '127.0.0.1', port })
  t.after(() => raw.destroy())
  await once(raw, 'connect')
  raw.write(proxyV2('203.0.113.9', 4711))
  const secure = tls.connect({ socket: raw, rejectUnauthorized: false })
  secure.write(getAndClose)
  assert.match(await listen(secure).closed, /peer=203\.0\.113\.9 port=4711;/)
  const direct = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
  direct.write(getAndClose)
  assert.match(await listen(direct).closed, /peer=127\.0\.0\.1 /)
})

test('an upgrade reaches its handler, is 404 without one, and 500 with an id when the handler throws', async t => {
  const upgrade = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'
  const echo = await open(t, { upgrade: (_request, socket) => void socket.write('switched') })
  await converse(t, echo.port, upgrade).until('switched')
  const none = await open(t, {})
  assert.match(await converse(t, none.port, upgrade).closed, /^HTTP\/1\.1 404 /)
  const broken = await open(t, { upgrade: () => Promise.reject(new Error('secret')) })
  assert.match(await converse(t, broken.port, upgrade).closed, /^HTTP\/1\.1 500 [\s\S]*Request id: /)
})

test('closing lets every request in flight end, refuses new connections, and ends idle ones at once', async t => {
  let release = () => {}
  const gate = new Promise<void>(resolve => {
    release = resolve
  })
  let waiting = 0
  const { listener, port } = await open(t, {
    handler: async (request, response) => {
      if (request.url === '/slow') {
        waiting++
        await gate
      }
      response.end('whole')
    },
  })
  const idle = converse(t, port, get)
  await idle.until('whole')
  const unused = converse(t, port)
  const slow = [1, 2, 3].map(() => converse(t, port, 'GET /slow HTTP/1.1\r\nhost: a\r\n\r\n'))
  while (waiting < 3) await new Promise(resolve => setImmediate(resolve))
  const closed = listener.close({ graceMs: 60_000 })
  await Promise.all([idle.closed, unused.closed])
  await assert.rejects(fetch(`http://127.0.0.1:${port}/`))
  for (const one of slow) assert.equal(one.text(), '')
  release()
  await closed
  for (const one of slow) assert.match(await one.closed, /whole$/)
})

test('while draining, a request that had begun to arrive is answered and told that the connection closes', async t => {
  const waiting: (() => void)[] = []
  const { listener, port } = await open(t, {
    handler: (_request, response) => void waiting.push(() => response.end('ok')),
  })
  const client = converse(t, port, `${get}GET / HTTP/1.1\r\nhost: a\r\n`)
  while (waiting.length < 1) await new Promise(resolve => setImmediate(resolve))
  const closed = listener.close({ graceMs: 60_000 })
  waiting[0]?.()
  await client.until('ok')
  assert.doesNotMatch(client.text(), /connection: close/i)
  client.socket.write('\r\n')
  while (waiting.length < 2) await new Promise(resolve => setImmediate(resolve))
  waiting[1]?.()
  assert.match(await client.closed, /ok[\s\S]*connection: close[\s\S]*ok$/i)
  await closed
})

test('what has not ended after the grace is cut, upgraded sockets included', async t => {
  const { listener, port } = await open(t, {
    handler: () => {},
    upgrade: (_request, socket) => void socket.write('switched'),
  })
  const hanging = converse(t, port, get)
  const upgraded = converse(t, port, 'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n')
  await upgraded.until('switched')
  await listener.close({ graceMs: 20 })
  await Promise.all([hanging.closed, upgraded.closed])
  await listener.close()
})
