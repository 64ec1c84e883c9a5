// Which headers an application behind the outpost gets.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import { ask } from './harness.ts'
import { setUp } from './proxied-application.ts'

/** Headers as the upstream received them, in their order and spelling. */
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

test('an application cannot plant cookies under our names in the browser', async t => {
  const planted = [
    'authentik_session=mine; Domain=example',
    'authentik_proxy_0badf00d=mine',
    ' authentik_csrf =x',
  ]
  const { port, signIn } = await setUp(t, {
    handler: (_request, response) => {
      response.writeHead(200, { 'Set-Cookie': [...planted, 'theme=dark; Path=/', 'my_authentik_session=1'] })
      response.end()
    },
  })
  const reply = await ask({ port, host: 'app.example', path: '/', headers: { cookie: await signIn() } })
  assert.deepEqual(reply.headers['set-cookie'], ['theme=dark; Path=/', 'my_authentik_session=1'])
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
