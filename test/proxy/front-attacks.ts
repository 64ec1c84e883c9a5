// What nobody may achieve behind any front proxy: an answer of the application without identity, or with another one. Run by a test per
// program, like front-walk.ts.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import type { StartFront } from './front-programs.ts'
import { freePort } from './front-proxy.ts'
import { type Relay, startRelay, type Trouble } from './front-relay.ts'
import { ask, type Browser, createBrowser, echo, startOutpost, startUpstream, until } from './harness.ts'
import { type Headers, rawAsk } from './raw-request.ts'

const P = '/outpost.goauthentik.io'

interface About {
  /** of the user */
  claims?: Record<string, unknown>
  waitMs?: number
}

interface Behind {
  port: number
  browser: Browser
  /** of somebody signed in, as a Cookie header */
  cookie: string
  relay: Relay
  /** requests that reached the application */
  reached: () => number
}

type Mode = 'forward_single' | 'proxy'

/**
 * Registers the tests of one front proxy.
 * @param name for their titles
 * @param mode `proxy` when it passes requests to the outpost, which passes them on
 */
export function testAttacks(name: string, startFront: StartFront, mode: Mode = 'forward_single'): void {
  test(`behind ${name} nobody is somebody by saying so: forged identity, forwarding and Connection headers`, async t => {
    const behind = await setUp(t, startFront, mode)
    for (const headers of claims) await isRefused(behind, '/page', headers)
    for (const headers of [...claims, ...connectionTricks]) {
      const { status, body } = await rawAsk(behind.port, '/page', [...headers, ['Cookie', behind.cookie]])
      if (status === 200) assertJane(body, JSON.stringify(headers))
      else assert.ok(status >= 300, `${status} for ${JSON.stringify(headers)}`)
    }
    for (const headers of identityClaims) {
      const open = await rawAsk(behind.port, '/public/x', headers)
      assert.ok(open.status === 200 || open.status === 400, `${open.status}`)
      assert.doesNotMatch(open.body, /root/, JSON.stringify(headers))
    }
  })

  test(`behind ${name} a cookie that cannot be read is no cookie, and disturbs no other`, async t => {
    const behind = await setUp(t, startFront, mode)
    const [cookieName = '', value = ''] = behind.cookie.split('=')
    for (const text of malformed(value)) {
      await isRefused(behind, '/page', [['Cookie', `${cookieName}=${text}`]])
      await isRefused(behind, '/page', [['Cookie', text]])
    }
    for (const cookie of [
      `theme=%zz; ${behind.cookie}`,
      `${cookieName}=forged; ${behind.cookie}`,
      `=; ;;a; ${behind.cookie};`,
    ]) {
      const { status, body } = await rawAsk(behind.port, '/page', [['Cookie', cookie]])
      assert.equal(status, 200, cookie)
      assertJane(body, cookie)
    }
  })

  test(`behind ${name} no spelling of a path opens another`, async t => {
    const behind = await setUp(t, startFront, mode)
    assert.equal((await rawAsk(behind.port, '/public/x', [])).status, 200, 'the open path is open')
    for (const path of paths) await isRefused(behind, path, [])
    for (const front of ['nginx', 'caddy', 'traefik', 'envoy/']) {
      const { head } = await rawAsk(behind.port, `${P}/auth/${front}`, [['Cookie', behind.cookie]])
      assert.doesNotMatch(
        head,
        /authentik/i,
        'a page may not ask as the front proxy does, and read the answer',
      )
    }
  })

  test(`behind ${name} a large form of a user in many groups arrives whole, with the identity`, async t => {
    const groups = Array.from({ length: 60 }, (_, at) => `department-${at}-of-the-whole-company`)
    const { port, cookie } = await setUp(t, startFront, mode, { claims: { groups } })
    const body = 'x'.repeat(400_000)
    const reply = await ask({
      port,
      host: 'app.example',
      method: 'POST',
      path: '/form',
      headers: { cookie },
      body,
    })
    assert.equal(reply.status, 200)
    const seen = JSON.parse(reply.body) as { headers: Record<string, string>; body: string }
    assert.equal(seen.headers['x-authentik-groups'], groups.join('|'))
    assert.equal(seen.headers['x-authentik-username'], 'jane')
    assert.equal(seen.body.length, body.length)
  })

  test(`behind ${name} an outpost that is away, silent or talks nonsense lets nobody through`, async t => {
    const behind = await setUp(t, startFront, mode, { waitMs: 4000 })
    const signedIn: Headers = [['Cookie', behind.cookie]]
    const isServed = async () => (await rawAsk(behind.port, '/page', signedIn)).status === 200
    await until(isServed, 'the page')
    const troubles: Trouble[] = ['reset', 'broken', 'cut', 'silent']
    for (const trouble of troubles) {
      behind.relay.be(trouble)
      await isRefused(behind, '/page', signedIn)
    }
    behind.relay.be('none')
    await until(isServed, 'the page, once it is back')
    await behind.relay.close()
    await isRefused(behind, '/page', signedIn)
    await isRefused(behind, '/public/x', [])
  })
}

const spellings = [
  'X-authentik-username',
  'X_authentik_username',
  'x-authentik_username',
  'X_AUTHENTIK-USERNAME',
]

const identityClaims: Headers[] = spellings.map(name => [[name, 'root']])

const claims: Headers[] = [
  ...identityClaims,
  [['X-authentik-jwt', 'root']],
  [['X-Original-URL', 'http://app.example/public/x']],
  [['X-Original-URI', '/public/x']],
  [['X-Original-URL', `http://app.example${P}/start`]],
  [['X-Forwarded-Uri', '/public/x']],
  [['X-Forwarded-Uri', `${P}/start`]],
  [['X-Forwarded-Host', 'other.example']],
  [
    ['X-Forwarded-Host', 'app.example'],
    ['X-Forwarded-Host', 'other.example'],
  ],
  [['X-Forwarded-Proto', 'javascript']],
  [['X-Rewrite-Url', '/public/x']],
  [['Authorization', 'Bearer nobody']],
  [['Authorization', 'Basic bm9ib2R5Om5vdGhpbmc=']],
]

/** A hop may drop what the one before it lists, but never what it has added itself. */
const connectionTricks: Headers[] = [
  [['Connection', 'close, X-authentik-username, X-authentik-jwt']],
  [['Connection', 'x-authentik-username']],
  [
    ['Connection', 'close'],
    ['Connection', 'X-Authentik-Username, Cookie, X-Forwarded-Host, X-Forwarded-Uri, X-Original-URL'],
  ],
]

const paths = [
  '/public/../page',
  '/public/%2e%2e/page',
  '/public/..%2fpage',
  '/public%2f..%2fpage',
  '//public/../page',
  '/public/%252e%252e/page',
  '/public/..;/page',
  '/public/..%5cpage',
  '/public/%00',
  '/page?/public/',
  '/page#/public/',
  '/page;/public/',
  '/%2e%2e/page',
  `${P}x/page`,
  `${P}/../page`,
  `${P}/%2e%2e/page`,
  `${P}/..%2fpage`,
  `${P}%2f..%2fpage`,
  `${P.toUpperCase()}/start`,
  'http://app.example/page',
  '*',
]

function malformed(value: string): string[] {
  return [
    ...['', '%', '%%%', '"', '=', '\\', ';;;', ',', 'null', '{}', 'undefined', '\t', '\x80\xff', 'ü'],
    ...[`${value}x`, value.slice(1), `"${value}"x`, `${value.slice(0, 20)} ${value.slice(20)}`],
    ...[value.toUpperCase(), value.replaceAll(/./g, 'A'), 'a'.repeat(5000), '\x01', `${value}\x01`],
  ]
}

async function setUp(t: TestContext, startFront: StartFront, mode: Mode, about: About = {}): Promise<Behind> {
  let reached = 0
  const upstream = await startUpstream(t, (req, res) => {
    reached++
    echo(req, res)
  })
  const core = createFakeCore([
    fakeProvider({
      mode,
      external_host: 'http://app.example',
      internal_host: upstream.url,
      skip_path_regex: '^/public/',
    }),
  ])
  core.user = { ...core.user, claims: about.claims }
  const outpost = await startOutpost(t, core)
  const relay = await startRelay(t, outpost.port)
  const port = await freePort()
  const ports = { upstreamPort: upstream.port, outpostPort: relay.port }
  await startFront(t, { port, hosts: ['app.example'], waitMs: about.waitMs, ...ports })
  const browser = createBrowser(core, port)
  assert.equal((await browser.visit('http://app.example/page')).status, 200)
  const [cookie = ''] = [...browser.cookies]
    .filter(([name]) => /^authentik_proxy_[0-9a-f]{8}$/.test(name))
    .map(([name, { value }]) => `${name}=${value}`)
  return { port, browser, cookie, relay, reached: () => reached }
}

async function isRefused({ port, reached }: Behind, path: string, headers: Headers): Promise<void> {
  const before = reached()
  const { status } = await rawAsk(port, path, headers)
  const about = `${status} for ${path} with ${JSON.stringify(headers).slice(0, 300)}`
  assert.ok(status >= 300, about)
  assert.equal(reached(), before, `the application was asked: ${about}`)
}

/** The application saw jane, once, and nobody else. */
function assertJane(body: string, about: string): void {
  const { headers, rawHeaders } = JSON.parse(body) as {
    headers: Record<string, string>
    rawHeaders: string[]
  }
  assert.equal(headers['x-authentik-username'], 'jane', about)
  const names = rawHeaders.filter((_, at) => at % 2 === 0)
  assert.equal(names.filter(name => /^x[-_]authentik[-_]username$/i.test(name)).length, 1, about)
  assert.ok(!JSON.stringify(rawHeaders).includes('root'), about)
}
