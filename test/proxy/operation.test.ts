// What operators rely on: certificates, metrics, readiness, missed revocations.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { Registry } from 'prom-client'
import { createAccessLog } from '../../src/http/access-log.ts'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import { silentLog } from '../../src/log.ts'
import { createOutpost } from '../../src/proxy/outpost.ts'
import { BackendError } from '../../src/proxy/sessions/backend.ts'
import { createSessions } from '../../src/proxy/sessions/sessions.ts'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { testFolder } from './front-proxy.ts'
import { ask, createBrowser, echo, fileStore, startOutpost, startUpstream, until } from './harness.ts'

async function keyPair(t: TestContext, name: string): Promise<{ key: string; cert: string }> {
  const folder = await testFolder(t)
  const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`]
  const files = ['-keyout', keyFile, '-out', certFile]
  await promisify(execFile)('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...subject,
    ...files,
  ])
  return { key: await readFile(keyFile, 'utf8'), cert: await readFile(certFile, 'utf8') }
}

test('the certificate of an application is found by name, kept when Core is away, replaced when it changed', async t => {
  const { key, cert } = await keyPair(t, 'app.example')
  const uuid = '11111111-2222-4333-8444-555555555555'
  const core = createFakeCore([fakeProvider({ certificate: uuid })])
  core.certificates.set(uuid, { fingerprint_sha256: 'one', certificate_pem: cert, private_key_pem: key })
  const { outpost } = await startOutpost(t, core)
  const first = outpost.sni('APP.example')
  assert.ok(first)
  assert.equal(outpost.sni('other.example'), undefined)
  core.failing.set('certificate', new Error('Core is away'))
  await outpost.refresh()
  assert.equal(outpost.sni('app.example'), first)
  core.failing.clear()
  core.certificates.set(uuid, { fingerprint_sha256: 'two', certificate_pem: cert, private_key_pem: key })
  await outpost.refresh()
  assert.notEqual(outpost.sni('app.example'), first)
})

test('a provider whose certificate was never there is reported and not served', async t => {
  const core = createFakeCore([fakeProvider({ certificate: '11111111-2222-4333-8444-555555555555' })])
  const { outpost, port } = await startOutpost(t, core)
  assert.match(outpost.status().failed[0]?.problem ?? '', /^certificate 1111/)
  assert.equal((await ask({ port, host: 'app.example' })).status, 400)
})

test("an upstream's certificate is verified unless the provider says otherwise", async t => {
  const server = https.createServer(await keyPair(t, 'localhost'), echo)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const internal_host = `https://localhost:${(server.address() as AddressInfo).port}`
  for (const [internal_host_ssl_validation, status] of [
    [true, 502],
    [false, 200],
  ] as const) {
    const core = createFakeCore([
      fakeProvider({ mode: 'proxy', internal_host, internal_host_ssl_validation }),
    ])
    const { port } = await startOutpost(t, core)
    assert.equal((await createBrowser(core, port).visit('https://app.example/')).status, status)
  }
})

test('metrics count requests and upstream times, and clients cannot add labels', async t => {
  const upstream = await startUpstream(t)
  const core = createFakeCore([fakeProvider({ mode: 'proxy', internal_host: upstream.url })])
  const { port, registry } = await startOutpost(t, core)
  await createBrowser(core, port).visit('https://app.example/')
  for (const host of ['a.example', 'b.example', 'app.example:1234'])
    await ask({ port, host, method: 'PROPFIND', path: '/' })
  const text = await registry.metrics()
  assert.match(
    text,
    /authentik_outpost_proxy_request_duration_seconds_count\{outpost_name="test outpost",method="GET",host="app\.example",type="app"\} [3-9]/,
  )
  assert.match(
    text,
    /authentik_outpost_proxy_upstream_response_duration_seconds_count\{[^}]*upstream_host="127\.0\.0\.1:\d+"/,
  )
  assert.match(text, /authentik_outpost_info\{outpost_name="test outpost",outpost_type="proxy",[^}]*\} 1/)
  assert.match(text, /authentik_outpost_connection\{[^}]*\} 1/)
  assert.match(text, /method="other"/)
  for (const made of ['a.example"', 'b.example', '1234', 'PROPFIND']) assert.ok(!text.includes(made), made)
})

test('readiness names what is missing: configuration, or the session store', async t => {
  const core = createFakeCore([fakeProvider()])
  const { outpost, setStoreDown } = await startOutpost(t, core)
  assert.deepEqual(await outpost.ready(), { ok: true, checks: { configuration: 'ok', sessions: 'ok' } })
  setStoreDown(true)
  const { ok, checks } = await outpost.ready()
  assert.equal(ok, false)
  assert.match(checks.sessions ?? '', /switched the store off/)
})

test('an unknown session backend in Core is waited out: not ready and 503 until it is corrected', async t => {
  const core = createFakeCore([fakeProvider()])
  core.instance.config.session_backend = 'postgre'
  const store = await fileStore(t)
  await store.prepare()
  const sessions = createSessions({ store, leaseMs: 2000, maxEntries: 10, log: silentLog })
  const outpost = createOutpost({
    link: core.link,
    embedded: false,
    sessions({ config }) {
      if (config.session_backend !== 'filesystem')
        throw new BackendError('core', String(config.session_backend))
      return sessions
    },
    trusted: createTrustedPeers([]),
    version: '1',
    log: silentLog,
    accessLog: createAccessLog({ enabled: false }),
    registry: new Registry(),
    retryMs: 5,
  })
  t.after(() => outpost.close())
  const started = outpost.start()
  await until(
    async () => /is "postgre"/.test((await outpost.ready()).checks.configuration ?? ''),
    'the reason',
  )
  core.instance.config.session_backend = 'filesystem'
  await started
  assert.equal((await outpost.ready()).ok, true)
})

test('an unknown session backend in the environment ends the start', async t => {
  const core = createFakeCore([fakeProvider()])
  const starting = startOutpost(t, core, {
    sessions: () => {
      throw new BackendError('environment', 'postgre')
    },
  })
  await assert.rejects(starting, /AUTHENTIK_OUTPOSTS__SESSION_BACKEND is "postgre"/)
})

test('after more than a day without Core file sessions are dropped, after less they stay', async t => {
  const folder = await testFolder(t)
  const revocationFile = () => join(folder, 'revocations.json')
  const upstream = await startUpstream(t)
  const core = createFakeCore([fakeProvider({ mode: 'proxy', internal_host: upstream.url })])
  const store = await fileStore(t)
  let time = Date.now()
  const start = () => startOutpost(t, core, { store, revocationFile, now: () => time })
  const first = await start()
  const browser = createBrowser(core, first.port)
  await browser.visit('https://app.example/')
  core.push(4, { session_id: 'f'.repeat(64), id: 41 })
  await until(() => core.handlers?.hello().last_revocation === 41, 'the revocation')
  await first.outpost.close()
  const after = async () => {
    const { port, outpost } = await start()
    const again = createBrowser(core, port)
    for (const [name, cookie] of browser.cookies) again.cookies.set(name, cookie)
    const { status } = await again.get('https://app.example/')
    const last = core.handlers?.hello().last_revocation
    await outpost.close()
    return { status, last }
  }
  assert.deepEqual(await after(), { status: 200, last: 41 })
  time += 25 * 3600_000
  assert.deepEqual(await after(), { status: 302, last: 41 })
})
