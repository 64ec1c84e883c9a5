// A Core one minor older or newer: frames and answers as such a Core sends them, recorded, with keys, codes and values this outpost has
// never heard of. It takes what it knows and passes over the rest.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toInstance, toPage, toProvider } from '../../src/proxy/core-answers.ts'
import { parseFrame } from '../../src/wire/frames.ts'
import { createFakeCore, fakeProvider } from '../proxy/fake-core.ts'
import { ask, createBrowser, startOutpost, startUpstream, until } from '../proxy/harness.ts'

const sid = 'b'.repeat(64)

/** As text, in the order they came. */
const newer = [
  '{"instruction":0,"args":{"server_version":"2027.1.0","features":["batches"]}}',
  '{"instruction":2,"args":{"revision":9,"reason":"provider.updated","objects":[{"pk":1,"kind":"proxy"}]}}',
  '{"instruction":3,"args":{"sub_type":"cache.invalidate","scope":{"depth":2}}}',
  '{"instruction":5,"args":{"drain":{"grace_s":30}}}',
  '{"instruction":99}',
  '{"instruction":-1,"args":{}}',
  '{"instruction":2,"args":{"revision":"not a number"},"meta":{"trace":"00-1-2-01"},"v":2}',
  '{"instruction":4,"args":{"type":"event.session.end.v2","session_id":"","users":["x"],"id":"text"}}',
]
const older = [
  '{"instruction":0,"args":{}}',
  '{"instruction":2,"args":{}}',
  '{"instruction":2}',
  '{"instruction":3,"args":{}}',
  '{"instruction":4,"args":{}}',
]

for (const [age, frames] of Object.entries({ newer, older }))
  test(`frames of a ${age} Core disturb nothing`, async t => {
    const upstream = await startUpstream(t)
    const core = createFakeCore([fakeProvider({ mode: 'proxy', internal_host: upstream.url })])
    const { port, outpost, lines } = await startOutpost(t, core)
    const browser = createBrowser(core, port)
    await browser.visit('https://app.example/')
    for (const text of frames) {
      const frame = parseFrame(text)
      assert.ok(frame !== null, text)
      core.handlers?.onFrame(frame)
    }
    await outpost.refresh()
    assert.equal((await browser.get('https://app.example/')).status, 200)
    assert.equal(outpost.status().applications, 1)
    assert.deepEqual(
      lines.filter(({ level }) => level === 'error'),
      [],
    )
  })

test('sessions end by the frames of every version', async t => {
  const upstream = await startUpstream(t)
  const core = createFakeCore([fakeProvider({ mode: 'proxy', internal_host: upstream.url })])
  const { port } = await startOutpost(t, core)
  for (const text of [
    `{"instruction":3,"args":{"sub_type":"logout","session_id":"${sid}"}}`,
    `{"instruction":4,"args":{"session_id":"${sid}"}}`,
    `{"instruction":4,"args":{"type":"event.session.end","session_id":"${sid}","id":12,"at":${Date.now()}}}`,
    `{"instruction":4,"args":{"type":"other","session_id":"${sid}","reason":"idle","id":13.5,"at":"soon"}}`,
  ]) {
    const browser = createBrowser(core, port)
    assert.equal((await browser.visit('https://app.example/')).status, 200)
    const frame = parseFrame(text)
    assert.ok(frame !== null)
    core.handlers?.onFrame(frame)
    await until(async () => (await browser.get('https://app.example/')).status === 302, text)
  }
})

test('HELLO is what an older Core reads: its keys with their types, and ours beside them', async t => {
  const core = createFakeCore([fakeProvider()])
  await startOutpost(t, core)
  const args = core.handlers?.hello()
  const types = Object.fromEntries(Object.entries(args ?? {}).map(([name, value]) => [name, typeof value]))
  const known = { version: 'string', buildHash: 'string', uuid: 'string', golangVersion: 'string' }
  const openssl = { opensslEnabled: 'boolean', opensslVersion: 'string', fipsEnabled: 'boolean' }
  for (const [name, type] of Object.entries({ ...known, ...openssl })) assert.equal(types[name], type, name)
  assert.deepEqual(JSON.parse(JSON.stringify(args)), args)
})

test('answers of a newer Core are read for what is known in them, those of an older one lack what came later', () => {
  const instance = {
    pk: '4c7a1b60-5d5f-4a06-8a7e-3a3d9b8f1a11',
    name: 'edge',
    managed: null,
    refresh_interval_s: 300,
    type: 'quantum',
    permissions: [],
    config: { authentik_host: 'https://core.example/', kubernetes_sidecars: { a: 1 }, log_level: 'notice' },
  }
  assert.equal(toInstance(instance, 'instance').config.authentik_host, 'https://core.example/')
  const { managed: _, ...without } = instance
  assert.equal(toInstance(without, 'instance').managed, null)
  const page = { pagination: { next: 0, cursor: 'x' }, results: [], autocomplete: {} }
  assert.deepEqual(toPage(page, 'list'), { results: [], next: 0, count: null })
  const provider = { ...fakeProvider(), device_policy: 'strict', scopes_to_request: ['openid', 'ak_next'] }
  assert.deepEqual(toProvider(provider, 'row').scopes_to_request, ['openid', 'ak_next'])
})

test('an application in a mode this outpost does not know is reported, and the others serve', async t => {
  const unknown = { ...fakeProvider({ external_host: 'https://new.example' }), mode: 'forward_quantum' }
  const core = createFakeCore([])
  core.providers = [toProvider(unknown, 'row'), fakeProvider()]
  const { port, outpost } = await startOutpost(t, core)
  assert.match(outpost.status().failed[0]?.problem ?? '', /mode "forward_quantum" is not known/)
  const start = { port, path: '/outpost.goauthentik.io/start' }
  assert.equal((await ask({ ...start, host: 'app.example' })).status, 302)
  assert.equal((await ask({ ...start, host: 'new.example' })).status, 400)
})
