// WebSockets and other upgrades.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { type TestContext, test } from 'node:test'
import { until } from './harness.ts'
import { setUp } from './proxied-application.ts'

/** Opens an upgrade by hand; resolves with the socket and what came first. */
async function upgrade(t: TestContext, port: number, headers: string[], protocol = 'websocket') {
  const socket = net.connect(port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.on('error', () => {})
  const lines = [
    'GET /ws?x HTTP/1.1',
    'Host: app.example',
    'Connection: Upgrade',
    `Upgrade: ${protocol}`,
    ...headers,
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  const [first] = (await once(socket, 'data')) as [Buffer]
  return { socket, first: first.toString('latin1') }
}

function acceptUpgrades(server: http.Server): http.IncomingMessage[] {
  const requests: http.IncomingMessage[] = []
  server.on('upgrade', (req, socket) => {
    requests.push(req)
    socket.on('error', () => {})
    if (req.url === '/refused')
      return void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno')
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-From: upstream\r\n\r\n',
    )
    socket.pipe(socket)
  })
  return requests
}

test('an upgrade is tunnelled with identity headers, and cut when the session ends', async t => {
  const { port, signIn, upstream, core, access } = await setUp(t)
  const requests = acceptUpgrades(upstream.server)
  const cookie = await signIn()
  const { socket, first } = await upgrade(t, port, [
    `Cookie: ${cookie}`,
    'X-authentik-username: root',
    'Sec-WebSocket-Key: k',
  ])
  assert.match(first, /^HTTP\/1\.1 101 /)
  assert.match(first, /X-From: upstream/)
  const [seen] = requests
  assert.equal(seen?.headers['x-authentik-username'], 'jane')
  assert.equal(seen?.headers['sec-websocket-key'], 'k')
  assert.equal(seen?.headers.cookie, undefined)
  assert.equal(seen?.url, '/ws?x')
  socket.write('ping')
  const [back] = await once(socket, 'data')
  assert.equal(String(back), 'ping')
  const closed = once(socket, 'close')
  core.push(4, { session_id: core.user.sid })
  await closed
  await until(() => access.some(line => line.status === 101), 'the access line')
})

test('an upgrade without session is 401, one of an unknown host 400, one that hides further requests is refused', async t => {
  const { port, signIn, upstream } = await setUp(t)
  const requests = acceptUpgrades(upstream.server)
  assert.match((await upgrade(t, port, [])).first, /^HTTP\/1\.1 401 /)
  const cookie = `Cookie: ${await signIn()}`
  for (const protocol of ['h2c', 'HTTP/2.0', 'TLS/1.2', 'websocket, h2c'])
    assert.match((await upgrade(t, port, [cookie], protocol)).first, /^HTTP\/1\.1 400 /)
  assert.equal(requests.length, 0)
})

test("an upstream's refusal of an upgrade reaches the client, an upstream that is away is 502", async t => {
  const { port, signIn, upstream } = await setUp(t)
  acceptUpgrades(upstream.server)
  const cookie = await signIn()
  const headers = { host: 'app.example', cookie, connection: 'upgrade', upgrade: 'websocket' }
  const request = http.get({ host: '127.0.0.1', port, path: '/refused', headers })
  const [res] = (await once(request, 'response')) as [http.IncomingMessage]
  assert.equal(res.statusCode, 403)
  request.destroy()
  const away = await setUp(t, { about: { internal_host: 'http://127.0.0.1:1' } })
  const other = await upgrade(t, away.port, [`Cookie: ${await away.signIn()}`])
  assert.match(other.first, /^HTTP\/1\.1 502 /)
})

test('a drain ends open tunnels', async t => {
  const { port, signIn, upstream, outpost } = await setUp(t)
  acceptUpgrades(upstream.server)
  const { socket } = await upgrade(t, port, [`Cookie: ${await signIn()}`])
  const closed = once(socket, 'close')
  outpost.drain()
  await closed
  await until(() => upstream.connections() <= 1, 'the upstream side to end')
})
