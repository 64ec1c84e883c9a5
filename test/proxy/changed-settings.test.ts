// What an administrator changes in Core while the outpost runs counts from the next request or login on, without a restart.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import tls from 'node:tls'
import { createListener } from '../../src/http/listener.ts'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import { silentLog } from '../../src/log.ts'
import { selfSigned } from '../http/sockets.ts'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { ask, startOutpost, until } from './harness.ts'
import { setUp } from './proxied-application.ts'

const host = 'app.example'
const start = '/outpost.goauthentik.io/start'

test('a changed access_token_validity is how long the next header login lives', async t => {
  const { port, core } = await setUp(t, { about: { access_token_validity: 600 } })
  const [provider] = core.providers
  assert.ok(provider)
  const life = async (token: string) => {
    const about = { active: true, sub: token, client_id: provider.client_id }
    core.tokens.set(token, { ...about, exp: Math.floor(Date.now() / 1000) + 86_400 })
    const reply = await ask({ port, host, headers: { authorization: `Bearer ${token}` } })
    assert.equal(reply.status, 200)
    return Number(/Max-Age=(\d+)/.exec(String(reply.headers['set-cookie']))?.[1])
  }
  const before = await life('one')
  assert.ok(before > 500 && before <= 601, `${before} s`)
  core.providers = [{ ...provider, access_token_validity: 7200 }]
  core.push(2)
  let round = 0
  await until(async () => (await life(`after-${round++}`)) > 7000, 'the new validity')
})

test('a changed cookie domain, allow-list and header of the provider count at once', async t => {
  const { port, core, signIn } = await setUp(t)
  const [provider] = core.providers
  assert.ok(provider)
  const cookie = await signIn()
  const opened = async () => (await ask({ port, host, path: '/public/x' })).status === 200
  const domain = async () => String((await ask({ port, host, path: start })).headers['set-cookie'])
  assert.equal(await opened(), false)
  assert.doesNotMatch(await domain(), /Domain=/)
  core.providers = [
    { ...provider, skip_path_regex: '^/public/', cookie_domain: 'app.example', name: 'renamed' },
  ]
  core.push(2)
  await until(opened, 'the path to be open')
  assert.match(await domain(), /; Domain=app\.example; /)
  const seen = JSON.parse((await ask({ port, host, headers: { cookie } })).body)
  assert.equal(seen.headers['x-authentik-meta-provider'], 'renamed', 'for those who are signed in, too')
  core.providers = [provider]
  core.push(2)
  await until(async () => !(await opened()), 'the path to be closed again')
})

test('the log level Core sets for a standalone outpost counts from the next refresh on, the embedded one keeps its own', async t => {
  for (const embedded of [false, true]) {
    const about = { mode: 'proxy', internal_host: 'http://127.0.0.1:1', skip_path_regex: '.' } as const
    const core = createFakeCore([fakeProvider(about)])
    const { outpost, lines, port } = await startOutpost(t, core, { embedded })
    const warned = async (level: string | undefined) => {
      core.instance.config.log_level = level
      await outpost.refresh()
      lines.length = 0
      assert.equal((await ask({ port, host })).status, 502)
      return lines.some(({ event }) => event === 'Error proxying to upstream server')
    }
    assert.equal(await warned('error'), embedded, `embedded: ${embedded}`)
    assert.equal(await warned('warning'), true)
    assert.equal(await warned(undefined), true)
  }
})

test('Core is asked anew by itself, at the interval it sets, and not more often than every ten seconds', async t => {
  const core = createFakeCore([])
  core.instance.refresh_interval_s = 1
  const asked: number[] = []
  const { instance } = core.link
  core.link.instance = () => {
    asked.push(performance.now())
    return instance()
  }
  await startOutpost(t, core)
  const first = asked.length
  await until(() => asked.length > first, 'the next question')
  const pause = (asked[first] ?? 0) - (asked[first - 1] ?? 0)
  assert.ok(pause > 9000, `asked again after ${Math.round(pause)} ms`)
})

test('a renewed certificate is served to the next connection, while one that is open goes on', async t => {
  const [old, renewed, standard] = ['app.example', 'app.example', 'default.example'].map(name =>
    selfSigned(t, name),
  )
  assert.ok(old && renewed && standard)
  const uuid = '11111111-2222-4333-8444-555555555555'
  const core = createFakeCore([fakeProvider({ certificate: uuid })])
  const bundle = (fingerprint_sha256: string, { key, cert }: { key: string; cert: string }) => ({
    ...{ fingerprint_sha256, certificate_pem: cert, private_key_pem: key },
  })
  core.certificates.set(uuid, bundle('one', old))
  const { outpost } = await startOutpost(t, core)
  const port = await listenTls(t, standard, name => outpost.sni(name))
  const first = await connectTls(t, port, host)
  assert.equal(served(first), fingerprint(old.cert))
  assert.equal(served(await connectTls(t, port, 'other.example')), fingerprint(standard.cert))

  core.certificates.set(uuid, bundle('two', renewed))
  core.push(2)
  await until(
    async () => served(await connectTls(t, port, host)) === fingerprint(renewed.cert),
    'the renewed certificate',
  )
  first.write('GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n')
  let answer = ''
  first.on('data', chunk => (answer += chunk))
  await once(first, 'close')
  assert.match(answer, /^HTTP\/1\.1 204 /)
})

async function listenTls(
  t: TestContext,
  standard: { key: string; cert: string },
  sni: (name: string) => tls.SecureContext | undefined,
): Promise<number> {
  const listener = await createListener({
    name: 'HTTPS',
    listen: [{ host: '127.0.0.1', port: 0 }],
    handler(_req, res) {
      res.writeHead(204).end()
    },
    trusted: createTrustedPeers([]),
    log: silentLog,
    tls: { ...standard, sni },
  })
  t.after(() => listener.close({ graceMs: 0 }))
  return listener.addresses[0]?.port ?? 0
}

async function connectTls(t: TestContext, port: number, servername: string): Promise<tls.TLSSocket> {
  const socket = tls.connect({ host: '127.0.0.1', port, servername, rejectUnauthorized: false })
  socket.on('error', () => {})
  t.after(() => socket.destroy())
  await once(socket, 'secureConnect')
  return socket
}

function served(socket: tls.TLSSocket): string {
  return socket.getPeerCertificate().raw.toString('base64')
}

function fingerprint(pem: string): string {
  return pem.replaceAll(/-----[A-Z ]+-----|\s/g, '')
}
