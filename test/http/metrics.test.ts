import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { Registry } from 'prom-client'
import { createHealth, type Readiness } from '../../src/http/health.ts'
import { createHotHistogram } from '../../src/http/histogram.ts'
import { createMetricsListener, createRegistry } from '../../src/http/metrics.ts'
import { silentLog } from '../../src/log.ts'

async function open(t: TestContext, ready: () => Promise<Readiness>, registry = new Registry()) {
  const listener = await createMetricsListener({
    listen: [{ host: '127.0.0.1', port: 0 }],
    registry,
    ready,
    log: silentLog,
  })
  t.after(() => listener.close({ graceMs: 0 }))
  return `http://127.0.0.1:${listener.addresses[0]?.port}`
}

async function serve(t: TestContext, handler: RequestListener): Promise<string> {
  const server = createServer(handler)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const good = async () => ({ ok: true, checks: { database: 'ok' } })

test('readiness names each check, and is 503 as soon as one fails', async t => {
  let state: Readiness = { ok: true, checks: { database: 'ok', core: 'ok' } }
  const base = await open(t, async () => state)
  const up = await fetch(`${base}/-/health/ready/`)
  assert.deepEqual([up.status, await up.json()], [200, state])
  state = { ok: false, checks: { database: 'cannot be reached', core: 'ok' } }
  const down = await fetch(`${base}/-/health/ready`)
  assert.deepEqual([down.status, await down.json()], [503, state])
  assert.equal((await fetch(`${base}/-/health/live/`)).status, 200, 'life does not depend on readiness')
})

test('a readiness check that rejects or hangs answers 503 without its cause', async t => {
  const base = await open(t, () => Promise.reject(new Error('secret')))
  const answer = await fetch(`${base}/-/health/ready/`)
  assert.equal(answer.status, 503)
  assert.doesNotMatch(await answer.text(), /secret/)

  const health = createHealth({ ready: () => new Promise(() => {}), timeoutMs: 10 })
  const hanging = await serve(t, (request, response) => void health.handle(request, response))
  assert.equal((await fetch(`${hanging}/-/health/ready/`)).status, 503)
})

test('probes that come together ask once', async t => {
  let asked = 0
  let release = () => {}
  const gate = new Promise<void>(resolve => {
    release = resolve
  })
  const health = createHealth({
    ready: async () => {
      asked++
      await gate
      return { ok: true, checks: {} }
    },
  })
  let arrived = 0
  const base = await serve(t, (request, response) => {
    health.handle(request, response)
    arrived++
    if (arrived === 3) release()
  })
  for (const probe of await Promise.all([1, 2, 3].map(() => fetch(`${base}/-/health/ready/`))))
    assert.equal(probe.status, 200)
  assert.equal(asked, 1)
  assert.equal((await fetch(`${base}/-/health/ready/`)).status, 200)
  assert.equal(asked, 2, 'the result is not kept')
})

test('ping answers 204 to any method, health only to GET and HEAD, and nothing else is there', async t => {
  const base = await open(t, good)
  for (const method of ['GET', 'HEAD', 'POST', 'DELETE'])
    assert.equal((await fetch(`${base}/outpost.goauthentik.io/ping`, { method })).status, 204)
  assert.equal((await fetch(`${base}/-/health/ready/?x=1`, { method: 'HEAD' })).status, 200)
  assert.equal((await fetch(`${base}/-/health/live/`, { method: 'POST' })).status, 405)
  assert.equal((await fetch(`${base}/metrics`, { method: 'POST' })).status, 405)
  for (const path of ['/', '/-/health/', '/outpost.goauthentik.io/pingx', '/metrics/x'])
    assert.equal((await fetch(base + path)).status, 404)
})

test('the hot histogram is a Prometheus histogram with cumulative buckets, sum and count', async t => {
  const registry = createRegistry()
  const histogram = createHotHistogram({
    name: 'walk_seconds',
    help: 'Time.',
    labelNames: ['host', 'method'],
    buckets: [0.1, 1],
    registry,
  })
  const one = histogram.series({ host: 'a"b', method: 'GET' })
  for (const seconds of [0.05, 0.1, 0.5, 3]) one.observe(seconds)
  assert.equal(histogram.series({ method: 'GET', host: 'a"b' }), one)
  const base = await open(t, good, registry)
  const answer = await fetch(`${base}/metrics`)
  assert.match(answer.headers.get('content-type') ?? '', /^text\/plain/)
  const text = await answer.text()
  const lines = text.split('\n').filter(line => line.includes('walk_seconds'))
  assert.deepEqual(lines, [
    '# HELP walk_seconds Time.',
    '# TYPE walk_seconds histogram',
    'walk_seconds_bucket{host="a\\"b",method="GET",le="0.1"} 2',
    'walk_seconds_bucket{host="a\\"b",method="GET",le="1"} 3',
    'walk_seconds_bucket{host="a\\"b",method="GET",le="+Inf"} 4',
    'walk_seconds_sum{host="a\\"b",method="GET"} 3.65',
    'walk_seconds_count{host="a\\"b",method="GET"} 4',
  ])
  assert.match(text, /process_cpu_user_seconds_total/)
})

test('the number of series is bounded, whatever clients send', async () => {
  const registry = new Registry()
  const histogram = createHotHistogram({
    name: 'y',
    help: 'Y.',
    labelNames: ['host'],
    buckets: [1],
    registry,
    maxSeries: 3,
  })
  for (let at = 0; at < 100; at++) histogram.series({ host: `h${at}` }).observe(0)
  const counts = (await registry.metrics()).split('\n').filter(line => line.startsWith('y_count'))
  assert.deepEqual(counts, [
    'y_count{host="h0"} 1',
    'y_count{host="h1"} 1',
    'y_count{host="h2"} 1',
    'y_count{host="other"} 97',
  ])
})
