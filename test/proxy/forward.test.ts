// Requests and answers on their way through: whole, streaming, and ended in time.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { test } from 'node:test'
import { ask, startUpstream, until } from './harness.ts'
import { setUp } from './proxied-application.ts'

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
