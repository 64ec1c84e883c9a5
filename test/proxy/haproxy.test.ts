// The HAProxy examples, in a real HAProxy: forward auth by the Lua action, and plainly in front of an outpost.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { testAttacks } from './front-attacks.ts'
import { testCookies } from './front-cookies.ts'
import { startHaproxy, startHaproxyThrough } from './front-programs.ts'
import { freePort } from './front-proxy.ts'
import { startRelay } from './front-relay.ts'
import { walkBehind } from './front-walk.ts'
import { ask, createBrowser, fileStore, startOutpost, startUpstream } from './harness.ts'

test('behind HAProxy: login, identity, allow-list, upgrade, sign-out, SESSION_END', t =>
  walkBehind(t, startHaproxy))

testAttacks('HAProxy', startHaproxy)

testCookies('HAProxy', startHaproxy)

test('behind HAProxy credentials for the outpost do not reach the application, its own and those set for it do', async t => {
  const upstream = await startUpstream(t)
  const core = createFakeCore([
    fakeProvider({
      external_host: 'http://app.example',
      basic_auth_enabled: true,
      basic_auth_user_attribute: 'user',
      basic_auth_password_attribute: 'pass',
    }),
  ])
  core.tokens.set('robot', { active: true, sub: 'robot', client_id: core.providers[0]?.client_id })
  const { port: outpostPort } = await startOutpost(t, core)
  const port = await freePort()
  await startHaproxy(t, { port, hosts: ['app.example'], outpostPort, upstreamPort: upstream.port })
  const seen = async (headers: Record<string, string>) => {
    const reply = await ask({ port, host: 'app.example', headers })
    assert.equal(reply.status, 200)
    return JSON.parse(reply.body).headers.authorization as string | undefined
  }
  assert.equal(await seen({ authorization: 'Bearer robot' }), undefined)
  const browser = createBrowser(core, port)
  const cookies = () => [...browser.cookies].map(([name, { value }]) => `${name}=${value}`).join('; ')
  await browser.visit('http://app.example/page')
  assert.equal(await seen({ cookie: cookies(), authorization: 'Custom own' }), 'Custom own')
  core.user = { ...core.user, claims: { ak_proxy: { user_attributes: { user: 'u', pass: 'p' } } } }
  browser.cookies.clear()
  await browser.visit('http://app.example/page')
  const set = `Basic ${Buffer.from('u:p').toString('base64')}`
  assert.equal(await seen({ cookie: cookies(), authorization: 'Custom own' }), set)
})

const through = 'HAProxy and through the outpost'

test(`behind ${through}: login, identity, allow-list, upgrade, sign-out, SESSION_END`, t =>
  walkBehind(t, startHaproxyThrough, 'proxy'))

testAttacks(through, startHaproxyThrough, 'proxy')

test('behind HAProxy outposts may come and go: a signed-in user is never sent to a login, and every page comes', async t => {
  const upstream = await startUpstream(t)
  const core = createFakeCore([
    fakeProvider({ mode: 'proxy', external_host: 'http://app.example', internal_host: upstream.url }),
  ])
  const store = await fileStore(t)
  const [one, two] = [await startOutpost(t, core, { store }), await startOutpost(t, core, { store })]
  const [first, second] = [await startRelay(t, one.port), await startRelay(t, two.port)]
  const port = await freePort()
  await startHaproxyThrough(t, {
    ...{ port, hosts: ['app.example'], upstreamPort: upstream.port },
    outpostPort: first.port,
    moreOutposts: [second.port],
  })
  const browser = createBrowser(core, port)
  assert.equal((await browser.visit('http://app.example/')).status, 200)
  const pages = async () => {
    for (let page = 0; page < 6; page++)
      assert.equal((await browser.get(`http://app.example/${page}`)).status, 200)
  }
  await pages()
  const before = [one.access.length, two.access.length]
  assert.ok(
    before.every(count => count > 2),
    'both are used',
  )
  await first.close()
  await pages()
  assert.equal(one.access.length, before[0])
})
