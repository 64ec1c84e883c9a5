// What must hold behind every real front proxy, whichever it is: one walk, run by a test per program.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import net from 'node:net'
import type { TestContext } from 'node:test'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import type { StartFront } from './front-programs.ts'
import { freePort } from './front-proxy.ts'
import { ask, createBrowser, startOutpost, startUpstream, until } from './harness.ts'

/** What people do, behind a front proxy that protects the host `app.example`. */
export async function walkBehind(
  t: TestContext,
  startFront: StartFront,
  mode: 'forward_single' | 'proxy' = 'forward_single',
): Promise<void> {
  const upstream = await startUpstream(t)
  upstream.server.on('upgrade', (req, socket) => {
    socket.on('error', () => {})
    socket.write(`${switching(req)}X-User: ${req.headers['x-authentik-username']}\r\n\r\n`)
    socket.pipe(socket)
  })
  const core = createFakeCore([
    fakeProvider({
      mode,
      external_host: 'http://app.example',
      internal_host: upstream.url,
      skip_path_regex: '^/public/',
    }),
  ])
  const { port: outpostPort } = await startOutpost(t, core)
  const port = await freePort()
  await startFront(t, { port, hosts: ['app.example'], outpostPort, upstreamPort: upstream.port })
  const browser = createBrowser(core, port)

  const page = await browser.visit('http://app.example/page?a=1&b=2')
  assert.equal(page.status, 200, page.hops.join('\n'))
  assert.equal(page.url, 'http://app.example/page?a=1&b=2')
  const seen = JSON.parse(page.body)
  assert.equal(seen.url, '/page?a=1&b=2')
  assert.equal(seen.headers['x-authentik-username'], 'jane')

  const forged = await browser.get('http://app.example/', { 'x-authentik-username': 'root' })
  assert.equal(JSON.parse(forged.body).headers['x-authentik-username'], 'jane')

  const open = await ask({
    port,
    host: 'app.example',
    path: '/public/x',
    headers: { 'x-authentik-username': 'root' },
  })
  assert.equal(open.status, 200)
  assert.ok(
    !JSON.parse(open.body).headers['x-authentik-username'],
    'a forged identity on an allow-listed path',
  )
  for (const path of ['/public/../page', '/public/%2e%2e/page', '/public/..%2fpage', '/page?/public/'])
    assert.notEqual((await ask({ port, host: 'app.example', path })).status, 200, path)

  for (const spoof of [
    { 'x-original-url': 'http://app.example/public/x' },
    { 'x-original-uri': '/public/x' },
    { 'x-forwarded-uri': '/public/x' },
    { 'x-forwarded-host': 'other.example' },
  ] as Record<string, string>[]) {
    const reply = await ask({ port, host: 'app.example', path: '/page', headers: spoof })
    assert.notEqual(reply.status, 200, JSON.stringify(spoof))
  }

  await upgradeWorks(t, port, browser.cookies)
  const out = await browser.visit('http://app.example/outpost.goauthentik.io/sign_out')
  assert.match(out.url, /end-session/)
  await closed(() => browser.get('http://app.example/page'))

  await browser.visit('http://app.example/page')
  assert.equal((await browser.get('http://app.example/page')).status, 200)
  core.push(4, { session_id: core.user.sid })
  await closed(() => browser.get('http://app.example/page'))
}

function closed(get: () => Promise<{ status: number }>): Promise<void> {
  return until(async () => (await get()).status === 302, 'the application to be closed')
}

async function upgradeWorks(
  t: TestContext,
  port: number,
  cookies: Map<string, { value: string; path: string }>,
): Promise<void> {
  const cookie = [...cookies].map(([name, { value }]) => `${name}=${value}`).join('; ')
  const socket = net.connect(port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.write(upgradeRequest('app.example', cookie))
  const [first] = (await once(socket, 'data')) as [Buffer]
  assert.match(String(first), /^HTTP\/1\.1 101 [\s\S]*X-User: jane/i)
  socket.write('ping')
  const [back] = await once(socket, 'data')
  assert.equal(String(back), 'ping')
}

/** A request for a WebSocket at `/ws`, as a browser writes it; some front proxies refuse what is none. */
export function upgradeRequest(host: string, cookie: string): string {
  const lines = ['GET /ws HTTP/1.1', `Host: ${host}`, 'Connection: Upgrade', 'Upgrade: websocket']
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
  return `${[...lines, 'Sec-WebSocket-Version: 13', key, `Cookie: ${cookie}`].join('\r\n')}\r\n\r\n`
}

/** The head of the answer that accepts it (RFC 6455 §4.2.2), without its last empty line. */
export function switching({ headers }: IncomingMessage): string {
  const key = `${headers['sec-websocket-key'] ?? ''}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
  const accept = createHash('sha1').update(key).digest('base64')
  const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: websocket']
  return `${[...lines, `Sec-WebSocket-Accept: ${accept}`].join('\r\n')}\r\n`
}
