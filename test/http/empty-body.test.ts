// Clients that name a content type whether or not they send anything.
import assert from 'node:assert/strict'
import http from 'node:http'
import { test } from 'node:test'
import { createApp } from '../../src/core/app.ts'
import { createListener } from '../../src/http/listener.ts'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import { silentLog } from '../../src/log.ts'
import { bareCore } from '../core/bare-core.ts'
import { testDatabase } from '../postgres.ts'

test('a request that names a content type and has no body is answered at once, whatever its method', async t => {
  const { db } = await testDatabase(t)
  const app = createApp(bareCore(db))
  for (const method of ['DELETE', 'POST', 'PUT', 'PATCH'])
    app.route({
      method,
      url: '/thing/',
      config: { access: 'public' },
      handler: async request => ({ body: request.body ?? null }),
    })
  await app.ready()
  const listener = await createListener({
    name: 'HTTP',
    listen: [{ host: '127.0.0.1', port: 0 }],
    handler: (req, res) => app.routing(req, res),
    upgrade: (_req, socket) => {
      socket.destroy()
    },
    ...{ trusted: createTrustedPeers([]), log: silentLog },
  })
  t.after(async () => {
    await listener.close({ graceMs: 50 })
    await app.close()
  })
  const { port } = listener.addresses[0]!
  const ask = (method: string, body?: string) =>
    new Promise<{ status: number; text: string }>((resolve, reject) => {
      const headers = {
        'content-type': 'application/json',
        ...(body === undefined ? {} : { 'content-length': String(body.length) }),
      }
      const request = http.request({
        host: '127.0.0.1',
        port,
        method,
        path: '/thing/',
        headers,
        agent: false,
      })
      // Without a length and without chunks: what `curl -X DELETE -H 'Content-Type: application/json'` sends.
      if (body === undefined) request.useChunkedEncodingByDefault = false
      request.setTimeout(20_000, () => request.destroy(new Error(`${method} was not answered`)))
      request.on('error', reject)
      request.on('response', async response => {
        let text = ''
        for await (const chunk of response) text += String(chunk)
        resolve({ status: response.statusCode ?? 0, text })
      })
      request.end(body)
    })
  for (const method of ['DELETE', 'POST', 'PUT', 'PATCH']) {
    assert.deepEqual(await ask(method), { status: 200, text: '{"body":null}' }, method)
    assert.deepEqual(await ask(method, '{"a":1}'), { status: 200, text: '{"body":{"a":1}}' }, method)
  }
})
