// What must hold behind every real front proxy, whichever it is: one walk, run by a test per program.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import type { TestContext } from 'node:test'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { ask, createBrowser, startOutpost, startUpstream, until } from './harness.ts'

export interface Behind {
  outpostPort: number
  upstreamPort: number
}

/** @param startFront starts the front proxy for host `app.example` and returns its port */
export async function walkBehind(
  t: TestContext,
  startFront: (behind: Behind) => Promise<number>,
): Promise<void> {
  const upstream = await startUpstream(t)
  upstream.server.on('upgrade', (req, socket) => {
    socket.on('error', () => {})
    const user = req.headers['x-authentik-username']
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-User: ${user}\r\n\r\n`,
    )
    socket.pipe(socket)
  })
  const core = createFakeCore([
    fakeProvider({ external_host: 'http://app.example', skip_path_regex: '^/public/' }),
  ])
  const { port: outpostPort } = await startOutpost(t, core)
  const port = await startFront({ outpostPort, upstreamPort: upstream.port })
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
  const lines = ['GET /ws HTTP/1.1', 'Host: app.example', 'Connection: Upgrade', 'Upgrade: websocket']
  socket.write(`${[...lines, 'Sec-WebSocket-Version: 13', `Cookie: ${cookie}`].join('\r\n')}\r\n\r\n`)
  const [first] = (await once(socket, 'data')) as [Buffer]
  assert.match(String(first), /^HTTP\/1\.1 101 [\s\S]*X-User: jane/i)
  socket.write('ping')
  const [back] = await once(socket, 'data')
  assert.equal(String(back), 'ping')
}
