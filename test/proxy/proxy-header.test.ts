// The PROXY protocol in front of an outpost: the client it names is the one everything is decided by.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createListener } from '../../src/http/listener.ts'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import { silentLog } from '../../src/log.ts'
import { converse, proxyV2 } from '../http/sockets.ts'
import { setUp } from './proxied-application.ts'

const request = [
  ...['GET /public HTTP/1.1', 'Host: app.example', 'Connection: close'],
  ...['X-Forwarded-For: 6.6.6.6', 'X-Forwarded-Proto: https', 'X-Forwarded-Host: other.example', '', ''],
].join('\r\n')

/** A listener that takes PROXY headers from `trusted`, in front of an outpost whose application opens every path. */
async function behindListener(t: TestContext, networks: string[]): Promise<number> {
  const trusted = createTrustedPeers(networks)
  const { outpost } = await setUp(t, { about: { skip_path_regex: '.' }, options: { trusted } })
  const listener = await createListener({
    name: 'HTTP',
    listen: [{ host: '127.0.0.1', port: 0 }],
    proxyProtocol: true,
    handler(req, res) {
      outpost.handle(req, res)
    },
    ...{ trusted, log: silentLog },
  })
  t.after(() => listener.close({ graceMs: 0 }))
  return listener.addresses[0]?.port ?? 0
}

test('a trusted peer names the client: the application learns of it, and what the client forwards is not believed', async t => {
  const port = await behindListener(t, ['127.0.0.0/8'])
  const v2 = Buffer.concat([proxyV2('203.0.113.9', 4711), Buffer.from(request)])
  for (const bytes of [`PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n${request}`, v2]) {
    const answer = await converse(t, port, bytes).closed
    assert.match(answer, /^HTTP\/1\.1 200 /)
    assert.match(answer, /"x-forwarded-for":"203\.0\.113\.9"/)
    assert.match(answer, /"x-forwarded-proto":"http"/)
    assert.match(answer, /"x-forwarded-host":"app\.example"/)
    assert.doesNotMatch(answer, /6\.6\.6\.6|other\.example/)
  }
  assert.match(
    await converse(t, port, request).closed,
    /^HTTP\/1\.1 400 /,
    'without it the peer itself is asked',
  )
})

test('a peer that is not trusted cannot name a client: its PROXY header is a bad request', async t => {
  const port = await behindListener(t, ['192.0.2.0/24'])
  const v2 = Buffer.concat([proxyV2('192.0.2.1', 4711), Buffer.from(request)])
  for (const bytes of [`PROXY TCP4 192.0.2.1 127.0.0.1 4711 80\r\n${request}`, v2])
    assert.match(await converse(t, port, bytes).closed, /^HTTP\/1\.1 400 /)
  const plain = await converse(t, port, request).closed
  assert.match(plain, /^HTTP\/1\.1 200 /)
  assert.match(plain, /"x-forwarded-for":"127\.0\.0\.1"/)
})
