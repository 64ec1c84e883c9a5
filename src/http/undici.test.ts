import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import * as undici from 'undici'
import { Agent, buildConnector, errors, request } from './undici.ts'

test('what is taken from files of undici is what its index exports', async t => {
  assert.equal(Agent, undici.Agent)
  assert.equal(buildConnector, undici.buildConnector)
  assert.equal(errors, undici.errors)
  const server = createServer((_request, response) => response.end('hello')).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await new Promise(resolve => server.once('listening', resolve))
  const agent = new Agent()
  t.after(() => agent.close())
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const answer = await request.call(agent, { origin, path: '/', method: 'GET' })
  assert.equal(await answer.body.text(), 'hello')
})
