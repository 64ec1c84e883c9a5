// Paths that need no login, and what only looks like one; one login for a whole domain.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeJwt } from 'jose'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { ask, startOutpost } from './harness.ts'
import { type Front, fronts, judge, P, setUp, signIn } from './judge.ts'

test('allow-listed paths pass without identity, and nothing that only looks like one', async t => {
  const all = await setUp(t, { skip_path_regex: '^/public/\n\n  \n^/exact$\r\n(' })
  const { port } = all
  const verdict = async (front: Front, uri: string) => {
    const reply = await judge(port, front, `https://app.example${uri}`)
    assert.equal(reply.headers['x-authentik-username'] || undefined, undefined)
    return reply.status === 200
  }
  for (const front of fronts) {
    for (const uri of [
      '/public/x',
      '/public/',
      '/exact',
      '/public/a%20b',
      '/public/x?y=/../z',
      '/%70ublic/x',
    ])
      assert.equal(await verdict(front, uri), true, `${front} ${uri}`)
    for (const uri of [
      '/',
      '/private',
      '/exact/',
      '/public/../private',
      '/public/%2e%2e/private',
      '/public/..%2fprivate',
      '/public/%2e%2e%2fprivate',
      '/public/..;/private',
      '/public/..%5cprivate',
      '/public/.',
      '/public/%00',
      '/public/%0a',
      '/public/%252e%252e/private',
      '/public/%zz',
      '/public%2fx',
      '/private?/public/',
      '/private?x=/exact',
    ])
      assert.equal(await verdict(front, uri), false, `${front} ${uri}`)
  }
  const cookie = await signIn(all)
  const known = await judge(port, 'traefik', 'https://app.example/public/x', { cookie })
  assert.equal(known.headers['x-authentik-username'], 'jane')
})

test('allow-list patterns that cannot work are named at load and match nothing', async t => {
  const { port, lines } = await setUp(t, { skip_path_regex: '(\nfoo\\?bar\n(?=x)' })
  const named = lines.filter(line => line.event === 'skip_path_regex').map(line => line.line)
  assert.deepEqual(named, ['(', 'foo\\?bar', '(?=x)'])
  assert.equal((await judge(port, 'nginx', 'https://app.example/')).status, 401)
})

test("nginx's sub-request for the outpost's own paths is 200, on path borders only", async t => {
  const { port } = await setUp(t)
  const status = async (uri: string) => (await judge(port, 'nginx', `https://app.example${uri}`)).status
  assert.equal(await status(`${P}/start?rd=x`), 200)
  assert.equal(await status(P), 200)
  for (const uri of [
    `${P}x`,
    `${P}.evil/`,
    `${P}/../admin`,
    `${P}/%2e%2e/admin`,
    `${P}/..;/admin`,
    `/x${P}/start`,
  ])
    assert.equal(await status(uri), 401, uri)
})

test('domain mode: one login for the domain, on label borders', async t => {
  const all = await setUp(t, {
    mode: 'forward_domain',
    external_host: 'https://auth.example.com',
    cookie_domain: '.example.com',
  })
  const { port } = all
  const cookie = await signIn(all, 'auth.example.com')
  assert.equal((await judge(port, 'nginx', 'https://a.b.example.com/', { cookie })).status, 200)
  assert.equal((await judge(port, 'nginx', 'https://example.com/', { cookie })).status, 200)
  const outside = await judge(port, 'nginx', 'https://evilexample.com/', { cookie })
  assert.equal(outside.status, 400)
  assert.match(outside.body, /no app for hostname/)
  const cookieLine = async () => {
    const start = await ask({
      port,
      host: 'auth.example.com',
      path: `${P}/start`,
      headers: { 'sec-fetch-mode': 'navigate' },
    })
    return String(start.headers['set-cookie'])
  }
  assert.match(await cookieLine(), /; Domain=example\.com; /)
  const rd = async (target: string) => {
    const url = `https://auth.example.com${P}/start?rd=${encodeURIComponent(target)}`
    const start = await all.browser.get(url)
    return decodeJwt(new URL(start.headers.location ?? '').searchParams.get('state') ?? '').redirect
  }
  assert.equal(await rd('https://x.example.com/p?q'), 'https://x.example.com/p?q')
  for (const evil of [
    'https://evilexample.com/',
    'https://example.com.evil.test/',
    'javascript://x.example.com/%0aalert(1)',
  ])
    assert.equal(await rd(evil), '', evil)
})

test('domain mode: patterns see scheme, host and path, never the query; an empty domain matches no host', async t => {
  const core = createFakeCore([
    fakeProvider({
      mode: 'forward_domain',
      external_host: 'https://auth.example.com',
      cookie_domain: 'example.com',
      skip_path_regex: '^https://open\\.example\\.com/',
    }),
    fakeProvider({ mode: 'forward_domain', external_host: 'https://auth.example.net', cookie_domain: '' }),
  ])
  const { port } = await startOutpost(t, core)
  assert.equal((await judge(port, 'caddy', 'https://open.example.com/x')).status, 200)
  assert.equal((await judge(port, 'caddy', 'https://a.example.com/?https://open.example.com/')).status, 302)
  assert.equal((await judge(port, 'caddy', 'https://auth.example.net/')).status, 302)
  assert.equal((await judge(port, 'caddy', 'https://a.example.net/')).status, 400)
})
