// A start while Core is down: the configuration kept on disk serves, and only to whom it belongs.
import assert from 'node:assert/strict'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { createConfigurationFile } from '../../src/proxy/kept-configuration.ts'
import { LinkError, type LinkErrorKind } from '../../src/wire/link.ts'
import type { ProxyProviderConfig } from '../../src/wire/outpost.ts'
import { createFakeCore, type FakeCore, fakeProvider } from './fake-core.ts'
import { testFolder } from './front-proxy.ts'
import { ask, createBrowser, fileStore, startOutpost, startUpstream, until } from './harness.ts'

const token = 'token-of-the-outpost'

async function setUp(t: TestContext, about: Partial<ProxyProviderConfig> = {}) {
  const upstream = await startUpstream(t)
  const provider = fakeProvider({ mode: 'proxy', internal_host: upstream.url, ...about })
  const core = createFakeCore([provider])
  const directory = join(await testFolder(t), 'outpost')
  const store = await fileStore(t)
  const clock = { now: Date.now() }
  const fileFor = (key = token, coreUrl = 'https://core.example/') =>
    createConfigurationFile({ directory, token: key, coreUrl, log: silentLog, now: () => clock.now })
  const start = (configurationFile = fileFor()) =>
    startOutpost(t, core, { store, configurationFile, now: () => clock.now })
  return {
    core,
    provider,
    directory,
    store,
    clock,
    fileFor,
    start,
    path: join(directory, 'last-configuration'),
  }
}

function takeAway(core: FakeCore, kind: LinkErrorKind = 'unreachable'): void {
  for (const method of ['instance', 'providers', 'certificate'])
    core.failing.set(method, new LinkError(kind, 'Core is away'))
}

test('an outpost that starts while Core is down serves what it served before, and signed-in users stay', async t => {
  const { core, start } = await setUp(t)
  const first = await start()
  const browser = createBrowser(core, first.port)
  await browser.visit('https://app.example/')
  await first.outpost.close()
  takeAway(core)
  const second = await start()
  const again = createBrowser(core, second.port)
  for (const [name, cookie] of browser.cookies) again.cookies.set(name, cookie)
  assert.equal((await again.get('https://app.example/')).status, 200)
  assert.equal(second.outpost.status().applications, 1)
  const said = second.lines.find(
    line => line.event === 'Core cannot be reached, the configuration kept on disk serves',
  )
  assert.equal(said?.applications, 1)

  await second.sessions.endBySid(core.user.sid)
  assert.equal((await again.get('https://app.example/')).status, 302, 'a revocation holds all the same')

  core.failing.clear()
  core.providers = []
  await second.outpost.refresh()
  assert.equal(
    (await ask({ port: second.port, host: 'app.example' })).status,
    400,
    'Core is asked once it is back',
  )
})

test('what is kept is sealed, private, and opens for nobody but this token and this Core', async t => {
  const { core, provider, fileFor, path, start } = await setUp(t)
  await (await start()).outpost.close()
  const bytes = await readFile(path)
  for (const secret of [provider.client_secret, provider.cookie_secret, provider.client_id, token])
    assert.ok(!bytes.includes(secret))
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  assert.equal((await fileFor().read())?.providers[0]?.client_secret, provider.client_secret)
  assert.equal(await fileFor('another-token').read(), null)
  assert.equal(await fileFor(token, 'https://other.example/').read(), null)
  for (const at of [0, 20, bytes.length - 1]) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] ?? 0) ^ 1
    await writeFile(path, changed)
    assert.equal(await fileFor().read(), null)
  }
  assert.equal(core.failing.size, 0)
})

test('what is kept is used for a day and no longer', async t => {
  const { clock, fileFor, start } = await setUp(t)
  await (await start()).outpost.close()
  clock.now += 23 * 3600_000
  assert.notEqual(await fileFor().read(), null)
  clock.now += 2 * 3600_000
  assert.equal(await fileFor().read(), null)
})

test('a Core that refuses is not an absent one: nothing is served from disk', async t => {
  const { core, start } = await setUp(t)
  await (await start()).outpost.close()
  takeAway(core, 'no-outpost')
  await assert.rejects(start(), /Core is away/)
})

test('a provider that Core describes wrongly after a restart keeps its last good version, the others follow Core', async t => {
  const { core, provider, start } = await setUp(t)
  const other = fakeProvider({ external_host: 'https://other.example' })
  core.providers = [provider, other]
  await (await start()).outpost.close()
  core.providers = [
    { ...provider, external_host: 'nonsense' },
    { ...other, external_host: 'https://new.example' },
  ]
  const { outpost, port } = await start()
  assert.equal((await ask({ port, host: 'app.example' })).status, 302)
  assert.equal((await ask({ port, host: 'new.example' })).status, 404)
  assert.equal((await ask({ port, host: 'other.example' })).status, 400)
  assert.deepEqual(
    outpost.status().failed.map(({ kept }) => kept),
    [true],
  )
  await until(() => outpost.status().refreshedAt !== null)
})
