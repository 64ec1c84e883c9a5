// Applications that are slow, silent, or end in the middle of their answer.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { fakeProvider } from './fake-core.ts'
import { ask, until } from './harness.ts'
import { setUp } from './proxied-application.ts'

const limits = { connectMs: 10_000, headersMs: 10_000, upgradeMs: 10_000, running: 100 }

/** Accepts connections and never says a word; TLS to it is never made. */
async function silent(t: TestContext): Promise<number> {
  const sockets = new Set<Socket>()
  const server = net.createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {}).resume()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

test('an upstream that does not begin its answer in time is a 504 page, and its connection is given up', async t => {
  let aborted = false
  const { browser, access } = await setUp(t, {
    options: { limits: { ...limits, headersMs: 300 } },
    handler(req, res) {
      if (req.url !== '/slow') return void res.end('fine')
      res.on('close', () => {
        aborted = true
      })
    },
  })
  const page = await browser.visit('https://app.example/slow')
  assert.equal(page.status, 504)
  assert.match(page.body, /<h1>Gateway Timeout<\/h1>/)
  assert.doesNotMatch(page.body, /127\.0\.0\.1/)
  await until(() => aborted, 'the request upstream to end')
  assert.equal(access.at(-1)?.status, 504)
  await until(async () => (await browser.get('https://app.example/')).status === 200, 'another page')
})

test('an upstream to which no connection can be made in time is a 504 page', async t => {
  const about = { internal_host: `https://127.0.0.1:${await silent(t)}` }
  const options = { limits: { ...limits, connectMs: 300 } }
  const { browser } = await setUp(t, { about, options })
  const page = await browser.visit('https://app.example/')
  assert.equal(page.status, 504)
  assert.match(page.body, /<h1>Gateway Timeout<\/h1>/)
})

test('an upgrade that is not answered, or finds no connection, in time is a 504 page', async t => {
  for (const [internal_host, bounds] of [
    [`http://127.0.0.1:${await silent(t)}`, { upgradeMs: 300 }],
    [`https://127.0.0.1:${await silent(t)}`, { connectMs: 300 }],
  ] as const) {
    const { port, signIn } = await setUp(t, {
      about: { internal_host },
      options: { limits: { ...limits, headersMs: 300, ...bounds } },
    })
    const headers = { cookie: await signIn(), connection: 'Upgrade', upgrade: 'websocket' }
    const reply = await ask({ port, host: 'app.example', path: '/ws', headers })
    assert.equal(reply.status, 504, internal_host)
  }
})

test('an answer that has begun may take as long as it likes', async t => {
  const { browser } = await setUp(t, {
    options: { limits: { ...limits, headersMs: 1500 } },
    handler(req, res) {
      res.write('begin ')
      if (req.url === '/long') setTimeout(() => res.end('end'), 4000)
      else res.end()
    },
  })
  assert.equal((await browser.visit('https://app.example/long')).body, 'begin end')
})

test('an answer that breaks off upstream breaks off at the client, and is never taken for a whole one', async t => {
  for (const head of [
    'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n',
  ]) {
    const { port, signIn, upstream, lines } = await setUp(t)
    const cookie = await signIn()
    upstream.server.removeAllListeners('request')
    upstream.server.on('request', (_req, res: http.ServerResponse) => {
      res.socket?.write(`${head}begin`, () => res.socket?.destroy())
    })
    const request = http.get({
      host: '127.0.0.1',
      port,
      headers: { host: 'app.example', cookie },
      agent: false,
    })
    const [reply] = (await once(request, 'response')) as [http.IncomingMessage]
    assert.equal(reply.statusCode, 200)
    let body = ''
    const whole = await new Promise(resolve => {
      reply.on('data', chunk => (body += chunk))
      reply.on('error', () => resolve(false)).on('end', () => resolve(true))
    })
    assert.equal(whole, false, `the client took "${body}" for the whole answer`)
    assert.equal(reply.complete, false)
    assert.ok(lines.some(({ event }) => event === 'Error proxying to upstream server'))
  }
})

test('an upstream that ends without an answer, or answers what is no HTTP, is a 502 page', async t => {
  for (const said of [
    '',
    'SSH-2.0-OpenSSH_9.2\r\n',
    'HTTP/1.1 200\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy',
  ]) {
    const server = net.createServer(socket => {
      socket.on('error', () => {}).once('data', () => socket.end(said))
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    t.after(() => server.close())
    const internal_host = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const { browser } = await setUp(t, { about: { internal_host } })
    assert.equal((await browser.visit('https://app.example/')).status, 502, JSON.stringify(said))
  }
})

test('a form whose upstream ends while it arrives is answered once, and the outpost lives on', async t => {
  const { port, signIn } = await setUp(t, {
    handler(req, res) {
      if (req.method === 'POST') req.socket.destroy()
      else res.end('fine')
    },
  })
  const cookie = await signIn()
  const headers = { cookie }
  const body = 'x'.repeat(2_000_000)
  const answer = await ask({ port, host: 'app.example', method: 'POST', headers, body }).catch(() => null)
  assert.ok(answer === null || answer.status === 502, `${answer?.status}`)
  assert.equal((await ask({ port, host: 'app.example', headers })).body, 'fine')
})

test('what one hanging application does not answer is bounded: more is refused with 503, and others are served', async t => {
  const held: http.ServerResponse[] = []
  const { port, core, signIn, upstream } = await setUp(t, {
    options: { limits: { ...limits, headersMs: 60_000, running: 5 } },
    handler(req, res) {
      if (req.url === '/hang') held.push(res)
      else res.end('fine')
    },
  })
  const [provider] = core.providers
  assert.ok(provider)
  const elsewhere = upstream.url.replace('127.0.0.1', 'localhost')
  core.providers = [
    provider,
    fakeProvider({
      mode: 'proxy',
      internal_host: elsewhere,
      external_host: 'https://other.example',
      skip_path_regex: '.',
    }),
  ]
  core.push(2)
  const headers = { cookie: await signIn() }
  const hanging = Array.from({ length: 5 }, () => ask({ port, host: 'app.example', path: '/hang', headers }))
  await until(() => held.length === 5, 'five requests to hang')
  const refused = await ask({ port, host: 'app.example', headers })
  assert.equal(refused.status, 503)
  assert.equal(refused.headers['retry-after'], '5')
  await until(
    async () => (await ask({ port, host: 'other.example' })).body === 'fine',
    'the other application',
  )
  for (const res of held) res.end('at last')
  assert.deepEqual([...new Set((await Promise.all(hanging)).map(({ body }) => body))], ['at last'])
  await until(
    async () => (await ask({ port, host: 'app.example', headers })).body === 'fine',
    'it to be served again',
  )
})
