// What passes between a browser and the application behind the outpost, mode `proxy`.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { type TestContext, test } from 'node:test'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import type { OutpostOptions } from '../../src/proxy/outpost.ts'
import type { ProxyProviderConfig } from '../../src/wire/outpost.ts'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { ask, createBrowser, echo, startOutpost, startUpstream, until } from './harness.ts'

interface SetUp {
  about?: Partial<ProxyProviderConfig>
  options?: Partial<OutpostOptions>
  claims?: Record<string, unknown>
  handler?: http.RequestListener
}

async function setUp(t: TestContext, { about, options, claims, handler = echo }: SetUp = {}) {
  const upstream = await startUpstream(t, handler)
  const core = createFakeCore([fakeProvider({ mode: 'proxy', internal_host: upstream.url, ...about })])
  core.user = { ...core.user, claims }
  const running = await startOutpost(t, core, options)
  const browser = createBrowser(core, running.port)
  const signIn = async () => {
    await browser.visit('https://app.example/outpost.goauthentik.io/start')
    return [...browser.cookies].map(([name, { value }]) => `${name}=${value}`).join('; ')
  }
  return { ...running, core, upstream, browser, signIn }
}

/** Raw header names the upstream received, lower case with `_` as `-`. */
function received(body: string): [string, string][] {
  const raw: string[] = JSON.parse(body).rawHeaders
  return raw.flatMap((name, at) => (at % 2 === 0 ? [[name, raw[at + 1] ?? ''] as [string, string]] : []))
}

const forged = {
  'X-authentik-username': 'root',
  'x-AUTHENTIK-groups': 'admins',
  X_AUTHENTIK_USERNAME: 'root',
  'X-Authentik_uid': 'root',
  'X-authentik-meta-anything': 'x',
  X_Forwarded_For: '6.6.6.6',
  'X-authentik_CSRF': 'x',
}

test('identity headers a client sends never arrive, on authenticated and on allow-listed paths', async t => {
  const { port, signIn } = await setUp(t, { about: { skip_path_regex: '^/public' } })
  const cookie = await signIn()
  for (const [path, headers, user] of [
    ['/private', { ...forged, cookie }, 'jane'],
    ['/public', { ...forged, cookie }, 'jane'],
    ['/public', forged, undefined],
  ] as const) {
    const reply = await ask({ port, host: 'app.example', path, headers })
    assert.equal(reply.status, 200)
    const users = received(reply.body).filter(([name]) => /^x[-_]authentik[-_]username$/i.test(name))
    assert.deepEqual(
      users.map(([, value]) => value),
      user === undefined ? [] : [user],
    )
    const text = JSON.stringify(received(reply.body))
    for (const trace of ['root', 'anything', '6.6.6.6', 'X-authentik_CSRF'])
      assert.ok(!text.includes(trace), trace)
  }
})

test('the CSRF header of the API passes, in exactly its own spelling', async t => {
  const { port } = await setUp(t, { about: { skip_path_regex: '.' } })
  const reply = await ask({ port, host: 'app.example', headers: { 'X-authentik-CSRF': 'token' } })
  assert.equal(JSON.parse(reply.body).headers['x-authentik-csrf'], 'token')
})

test('a client cannot make the outpost drop headers by naming them in Connection', async t => {
  const { port, signIn } = await setUp(t)
  const cookie = await signIn()
  const headers = { cookie, connection: 'X-authentik-username, X-Forwarded-For, close, X-Hop', 'X-Hop': '1' }
  const reply = await ask({ port, host: 'app.example', headers })
  const got = JSON.parse(reply.body).headers
  assert.equal(got['x-authentik-username'], 'jane')
  assert.ok(got['x-forwarded-for'])
  assert.equal(got['x-hop'], undefined)
})

test("the outpost's and Core's cookies stay here, the application's own pass", async t => {
  const { port, signIn } = await setUp(t)
  const session = await signIn()
  const cookie = `a=1; ${session}; authentik_session=x; authentik_csrf=x; authentik_device=x; authentik_proxy_12345678_1=x; b=2`
  const reply = await ask({ port, host: 'app.example', headers: { cookie } })
  assert.equal(JSON.parse(reply.body).headers.cookie, 'a=1; b=2')
  const alone = await ask({ port, host: 'app.example', headers: { cookie: session } })
  assert.equal(JSON.parse(alone.body).headers.cookie, undefined)
})

test('forwarding headers are rebuilt from the connection; what an untrusted peer says about them is dropped', async t => {
  const { port, signIn } = await setUp(t)
  const cookie = await signIn()
  const headers = {
    cookie,
    'x-forwarded-for': '203.0.113.9',
    'x-forwarded-proto': 'https',
    'x-real-ip': '203.0.113.9',
  }
  const believed = JSON.parse((await ask({ port, host: 'app.example', headers })).body).headers
  assert.equal(believed['x-forwarded-for'], '203.0.113.9, 127.0.0.1')
  assert.equal(believed['x-forwarded-proto'], 'https')
  assert.equal(believed['x-real-ip'], '203.0.113.9')
  const { port: other } = await setUp(t, {
    about: { skip_path_regex: '.' },
    options: { trusted: createTrustedPeers([]) },
  })
  const spoof = {
    ...headers,
    'x-forwarded-host': 'evil.example',
    'x-forwarded-port': '1',
    forwarded: 'for=6.6.6.6',
    'x-original-url': '/admin',
    'x-rewrite-url': '/admin',
  }
  const got = JSON.parse((await ask({ port: other, host: 'app.example', headers: spoof })).body).headers
  assert.equal(got['x-forwarded-for'], '127.0.0.1')
  assert.equal(got['x-forwarded-host'], 'app.example')
  assert.equal(got['x-forwarded-proto'], 'http')
  for (const name of ['x-real-ip', 'x-forwarded-port', 'forwarded', 'x-original-url', 'x-rewrite-url'])
    assert.equal(got[name], undefined, name)
})

test('additional headers: text, numbers and booleans; whatever could break or redirect a message is refused', async t => {
  const additionalHeaders = {
    'X-Text': 'text',
    'X-Number': 7,
    'X-Bool': true,
    'X-Object': { a: 1 },
    'X-Split': 'a\r\nX-Evil: 1',
    'X-Nul': 'a\0b',
    'Content-Length': '0',
    'Transfer-Encoding': 'chunked',
    Host: 'evil.example',
    'bad name': 'x',
    'X-authentik-username': 'overwritten',
  }
  const { port, signIn } = await setUp(t, {
    claims: { ak_proxy: { user_attributes: { additionalHeaders } } },
  })
  const cookie = await signIn()
  const headers = { cookie, 'X-Number': '8', X_Text: 'client' }
  const reply = await ask({ port, host: 'app.example', headers })
  const got = JSON.parse(reply.body).headers
  assert.equal(got['x-text'], 'text')
  assert.equal(got['x-number'], '7')
  assert.equal(got['x-bool'], 'true')
  assert.equal(got['x-authentik-username'], 'overwritten')
  assert.equal(got.host, 'app.example')
  assert.equal(got.x_text, undefined)
  for (const name of ['x-object', 'x-split', 'x-evil', 'x-nul']) assert.equal(got[name], undefined, name)
})

test('an additional-headers attribute that is no object is ignored', async t => {
  for (const additionalHeaders of ['text', 5, null, ['a']]) {
    const { browser } = await setUp(t, { claims: { ak_proxy: { user_attributes: { additionalHeaders } } } })
    assert.equal((await browser.visit('https://app.example/')).status, 200)
  }
})

test('credentials for the upstream replace those of the client, and need a password', async t => {
  const basic = {
    basic_auth_enabled: true,
    basic_auth_user_attribute: 'user',
    basic_auth_password_attribute: 'pass',
  }
  const withPassword = await setUp(t, {
    about: basic,
    claims: { ak_proxy: { user_attributes: { user: 'u', pass: 'p:ü' } } },
  })
  const cookie = await withPassword.signIn()
  const headers = { cookie, authorization: 'Custom abc' }
  const reply = await ask({ port: withPassword.port, host: 'app.example', headers })
  const expected = `Basic ${Buffer.from('u:p:ü').toString('base64')}`
  assert.equal(JSON.parse(reply.body).headers.authorization, expected)
  const without = await setUp(t, { about: basic, claims: { ak_proxy: { user_attributes: { user: 'u' } } } })
  const own = { cookie: await without.signIn(), authorization: 'Custom abc' }
  const passed = await ask({ port: without.port, host: 'app.example', headers: own })
  assert.equal(JSON.parse(passed.body).headers.authorization, 'Custom abc')
})

test("a user's own backend and host name are used when they are well formed", async t => {
  const elsewhere = await startUpstream(t, (req, res) => res.end(`elsewhere ${req.headers.host}`))
  const ak_proxy = { backend_override: elsewhere.url, host_header: 'inner.example' }
  const { browser } = await setUp(t, { claims: { ak_proxy } })
  assert.equal((await browser.visit('https://app.example/')).body, 'elsewhere inner.example')
  const bad = await setUp(t, { claims: { ak_proxy: { backend_override: 'file:///x', host_header: 'a b' } } })
  const page = await bad.browser.visit('https://app.example/')
  assert.equal(JSON.parse(page.body).headers.host, 'app.example')
})

test('method, path, query and body arrive as they were sent', async t => {
  const { port, signIn } = await setUp(t)
  const cookie = await signIn()
  const path = '/a//b/%2e%2e/c%2Fd;x=1?y=%zz&&=/../'
  const reply = await ask({
    port,
    host: 'app.example',
    method: 'PATCH',
    path,
    headers: { cookie },
    body: 'hällo',
  })
  const got = JSON.parse(reply.body)
  assert.deepEqual([got.method, got.url, got.body], ['PATCH', path, 'hällo'])
  const chunked = { cookie, 'transfer-encoding': 'chunked' }
  const second = await ask({
    port,
    host: 'app.example',
    method: 'POST',
    headers: chunked,
    body: 'x'.repeat(300_000),
  })
  assert.equal(JSON.parse(second.body).body.length, 300_000)
})

test("answers come back as they are: status, repeated and foreign headers, redirects, no hop's own headers", async t => {
  const { port, signIn } = await setUp(t, {
    handler(_req, res) {
      res.writeHead(302, [
        ...['Location', 'https://elsewhere.example/'],
        ...['Set-Cookie', 'a=1'],
        ...['Set-Cookie', 'b=2'],
        ...['Connection', 'X-Hop'],
        ...['X-Hop', '1'],
        ...['X-UPPER', Buffer.from('ü').toString('latin1')],
      ])
      res.end()
    },
  })
  const reply = await ask({ port, host: 'app.example', headers: { cookie: await signIn() } })
  assert.equal(reply.status, 302)
  assert.equal(reply.headers.location, 'https://elsewhere.example/')
  assert.deepEqual(reply.headers['set-cookie'], ['a=1', 'b=2'])
  assert.equal(reply.headers['x-hop'], undefined)
  assert.equal(Buffer.from(String(reply.headers['x-upper']), 'latin1').toString(), 'ü')
})

test('events arrive while the answer is still running, and a client that leaves ends the request upstream', async t => {
  let upstreamClosed = false
  let send = (_text: string) => {}
  const { port, signIn } = await setUp(t, {
    handler(req, res) {
      if (req.url !== '/events') return void res.end()
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.flushHeaders()
      send = text => res.write(text)
      res.on('close', () => {
        upstreamClosed = true
      })
    },
  })
  const cookie = await signIn()
  const request = http.get({
    host: '127.0.0.1',
    port,
    path: '/events',
    headers: { host: 'app.example', cookie },
  })
  const [res] = (await once(request, 'response')) as [http.IncomingMessage]
  assert.equal(res.statusCode, 200, 'headers arrive before any body')
  send('data: 1\n\n')
  const [first] = await once(res, 'data')
  assert.equal(String(first), 'data: 1\n\n')
  res.on('error', () => {})
  request.destroy()
  await until(() => upstreamClosed, 'the upstream request to end')
})

test('a slow reader holds the upstream back instead of filling memory', async t => {
  let written = 0
  const { port, signIn } = await setUp(t, {
    handler(req, res) {
      if (req.url !== '/big') return void res.end()
      const chunk = Buffer.alloc(65_536)
      const more = () => {
        while (written < 500 * chunk.length && !res.destroyed) {
          written += chunk.length
          if (!res.write(chunk)) return void res.once('drain', more)
        }
        res.end()
      }
      more()
    },
  })
  const cookie = await signIn()
  const socket = net.connect(port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.write(`GET /big HTTP/1.1\r\nHost: app.example\r\nCookie: ${cookie}\r\n\r\n`)
  await once(socket, 'readable')
  let before = -1
  await until(async () => {
    const stalled = written === before
    before = written
    await new Promise(resolve => setTimeout(resolve, 100))
    return stalled
  }, 'the upstream to stall')
  assert.ok(written < 25_000_000, `${written} bytes were taken from the upstream`)
})

test('an upstream that cannot be reached is a 502 page; only an administrator reads the cause', async t => {
  const { browser } = await setUp(t, { about: { internal_host: 'http://127.0.0.1:1' } })
  const page = await browser.visit('https://app.example/')
  assert.equal(page.status, 502)
  assert.match(page.body, /<h1>Bad Gateway<\/h1>/)
  assert.match(page.body, /Failed to connect to backend\./)
  assert.doesNotMatch(page.body, /ECONNREFUSED|127\.0\.0\.1/)
  assert.match(String(page.headers['content-security-policy']), /^default-src 'none'; style-src 'sha256-/)
  const admin = await setUp(t, {
    about: { internal_host: 'http://127.0.0.1:1' },
    claims: { ak_proxy: { is_superuser: true } },
  })
  assert.match(
    (await admin.browser.visit('https://app.example/')).body,
    /Error proxying to upstream server: .*ECONNREFUSED/,
  )
})

test('a stream ends when its session does', async t => {
  const { port, signIn, core } = await setUp(t, {
    options: { leaseMs: 100 },
    handler(req, res) {
      if (req.url !== '/events') return void res.end()
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.flushHeaders()
    },
  })
  const cookie = await signIn()
  const request = http.get({
    host: '127.0.0.1',
    port,
    path: '/events',
    headers: { host: 'app.example', cookie },
  })
  const [res] = (await once(request, 'response')) as [http.IncomingMessage]
  const ended = new Promise(resolve => res.on('error', resolve).on('close', resolve))
  res.resume()
  core.push(4, { session_id: core.user.sid })
  await ended
})

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
