// What went wrong in other identity-aware proxies, and does not in this outpost. docs/advisories.md lists them all.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import { ask } from '../proxy/harness.ts'
import { fronts, judge, P, setUp, signIn } from '../proxy/judge.ts'
import { setUp as setUpProxy, untilCallback } from '../proxy/login-walk.ts'

const page = 'https://app.example/private'

test('CVE-2026-25748: a cookie that cannot be read is no cookie: no front proxy is ever told yes', async t => {
  const all = await setUp(t)
  const genuine = await signIn(all)
  const [name = '', value = ''] = genuine.split('=')
  assert.equal((await judge(all.port, 'nginx', page, { cookie: genuine })).status, 200)
  const broken = fc.oneof(
    fc.string({ maxLength: 80 }).map(text => text.replaceAll(/[^\x20-\x7e]/g, '%')),
    fc.constantFrom(
      ...['', '%', '%%%', '"', '=', '\\', ';', 'null', '{}', 'a'.repeat(4000), `${value}x`, value.slice(1)],
    ),
    fc.nat(value.length - 1).map(at => `${value.slice(0, at)}.${value.slice(at + 1)}`),
  )
  await fc.assert(
    fc.asyncProperty(broken, fc.constantFrom(...fronts), async (text, front) => {
      fc.pre(text.trim() !== value)
      const reply = await judge(all.port, front, page, { cookie: `${name}=${text}` })
      assert.equal(reply.status, front.startsWith('nginx') ? 401 : 302, `${front} ${text}`)
    }),
    { numRuns: 150, interruptAfterTimeLimit: 6000, markInterruptAsFailure: false },
  )
})

test('GHSA-7x63-xv5r-3p2x: the path that is judged is the one that was asked for, whoever claims another', async t => {
  const about = { skip_path_regex: '^/public' }
  const { port } = await setUpProxy(t, about)
  const claims = {
    ...{ 'x-forwarded-uri': '/public', 'x-original-uri': '/public', 'x-rewrite-url': '/public' },
    ...{ 'x-original-url': 'https://app.example/public', 'x-forwarded-path': '/public' },
  }
  const claimed = await ask({ port, host: 'app.example', path: '/private', headers: claims })
  assert.equal(claimed.status, 302)
  const stranger = await setUp(t, about, { trusted: createTrustedPeers([]) })
  for (const front of fronts.filter(one => one !== 'envoy')) {
    const reply = await judge(stranger.port, front, 'https://app.example/public')
    assert.equal(reply.status, 400, `${front} believed a peer that is not trusted`)
  }
})

test('CVE-2025-64484: identity cannot be smuggled in another spelling of a header', async t => {
  const all = await setUpProxy(t, { skip_path_regex: '^/public' })
  const { port } = all
  const spellings = [
    'X-authentik-username',
    'X_authentik_username',
    'x-authentik_username',
    'X_AUTHENTIK-USERNAME',
  ]
  const rawHeaders = ['Host', 'app.example', ...spellings.flatMap(name => [name, 'root'])]
  const reply = await ask({ port, path: '/public', rawHeaders })
  assert.equal(reply.status, 200)
  assert.doesNotMatch(JSON.stringify(JSON.parse(reply.body).rawHeaders), /root|authentik.username/i)
})

test('GHSA-7rh7-c77v-6434, GHSA-pxq7-h93f-9jrg: a path without login is matched on the path, never on query or fragment', async t => {
  const { port } = await setUp(t, { skip_path_regex: '/public$' })
  for (const front of fronts) {
    assert.equal((await judge(port, front, 'https://app.example/public')).status, 200, front)
    for (const path of [
      '/private?/public',
      '/private?x=/public',
      '/private;x?y&/public',
      '/private?%2fpublic',
    ])
      assert.notEqual(
        (await judge(port, front, `https://app.example${path}`)).status,
        200,
        `${front} ${path}`,
      )
    const fragment = await judge(port, front, 'https://app.example/private#/public')
    assert.notEqual(fragment.status, 200, `${front}, behind a #`)
  }
})

test('GHSA-5hvv-m4w4-gf6v: no program is let in for what it calls itself', async t => {
  const { port } = await setUpProxy(t)
  for (const agent of [
    'kube-probe/1.30',
    'GoogleHC/1.0',
    'goauthentik.io/outpost/2025.1',
    'ELB-HealthChecker/2.0',
    'Prometheus/2',
  ]) {
    const reply = await ask({ port, host: 'app.example', headers: { 'user-agent': agent } })
    assert.equal(reply.status, 302, agent)
    assert.match(reply.headers.location ?? '', new RegExp(`${P}/start|core.example`))
  }
})

test('GHSA-f24x-5g9q-753f: a cookie somebody planted before the login opens nothing after it', async t => {
  const all = await setUpProxy(t)
  const { browser, port } = all
  const back = await untilCallback(all)
  const planted = new Map([...browser.cookies].map(([name, { value }]) => [name, value]))
  const done = await browser.visit(back)
  assert.equal(done.status, 200)
  const cookie = [...planted].map(([name, value]) => `${name}=${value}`).join('; ')
  const thief = await ask({ port, host: 'app.example', path: '/private', headers: { cookie } })
  assert.equal(thief.status, 302)
})

test('an application behind the outpost sees neither its cookies nor those of Core, in no spelling of the header', async t => {
  const all = await setUpProxy(t)
  await all.browser.visit(page)
  const session = [...all.browser.cookies].map(([name, { value }]) => `${name}=${value}`).join('; ')
  const core = 'authentik_session=stolen; authentik_csrf=stolen; "authentik_session"=kept'
  const rawHeaders = [
    'Host',
    'app.example',
    'X-Forwarded-Proto',
    'https',
    'Cookie',
    `mine=1; ${session}; ${core}`,
  ]
  const reply = await ask({ port: all.port, path: '/private', rawHeaders: [...rawHeaders, 'Cookie_', core] })
  assert.equal(reply.status, 200)
  const got = JSON.parse(reply.body).headers.cookie as string
  assert.match(got, /mine=1/)
  assert.doesNotMatch(got, /stolen|authentik_proxy/)
})
