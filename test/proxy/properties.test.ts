// Whatever a client sends, the answer is a page with identity, a redirect to where redirects may go, or a refusal; never a failure, and
// never a page for nobody. POSTERN_TEST_CASES sets how many requests are made up; 3,000 unless it does.
import assert from 'node:assert/strict'
import http from 'node:http'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeJwt } from 'jose'
import { instruction, parseFrame } from '../../src/wire/frames.ts'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { type Answer, createBrowser, startOutpost, startUpstream } from './harness.ts'
import { type Made, request } from './made-requests.ts'

const cases = Number(process.env.POSTERN_TEST_CASES ?? 3000)
const atOnce = 50
const P = '/outpost.goauthentik.io'

test('every made-up request is answered by identity, redirect or refusal', { timeout: 280_000 }, async t => {
  const upstream = await startUpstream(t)
  const core = createFakeCore([
    fakeProvider({ mode: 'proxy', internal_host: upstream.url }),
    fakeProvider({ external_host: 'https://judged.example' }),
    fakeProvider({
      mode: 'forward_domain',
      external_host: 'https://auth.dom.example',
      cookie_domain: 'dom.example',
    }),
  ])
  const { port, lines } = await startOutpost(t, core)
  const cookies: string[] = []
  for (const host of ['app.example', 'judged.example', 'auth.dom.example']) {
    const browser = createBrowser(core, port)
    await browser.visit(`https://${host}${P}/start`).catch(() => {}) // only the cookie matters
    for (const [name, { value }] of browser.cookies)
      if (/_[0-9a-f]{8}$/.test(name)) cookies.push(`${name}=${value}`)
  }
  assert.equal(cookies.length, 3)
  const agent = new http.Agent({ keepAlive: true, maxSockets: atOnce })
  t.after(() => agent.destroy())
  const outcomes = new Map<string, number>()
  await fc.assert(
    fc.asyncProperty(fc.array(request(cookies), { minLength: atOnce, maxLength: atOnce }), async batch => {
      const answers = await Promise.all(batch.map(made => ask(agent, port, made)))
      for (const [at, answer] of answers.entries()) {
        const outcome = judge(batch[at] as Made, answer)
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
      }
    }),
    { numRuns: Math.ceil(cases / atOnce), endOnFailure: true, seed: seedOf() },
  )
  t.diagnostic([...outcomes].map(([outcome, count]) => `${count} ${outcome}`).join(', '))
  for (const outcome of ['identity', 'redirect', 'refusal']) assert.ok(outcomes.get(outcome), `no ${outcome}`)
  assert.deepEqual(
    lines.filter(({ event }) => event === 'request failed'),
    [],
  )
})

test('no frame, whatever it holds, disturbs an outpost', async t => {
  const core = createFakeCore([fakeProvider({ mode: 'proxy', internal_host: 'http://127.0.0.1:1' })])
  const { port, outpost } = await startOutpost(t, core)
  const codes = fc.oneof(fc.constantFrom(...Object.values(instruction)), fc.integer())
  const args = fc.dictionary(
    fc.constantFrom('session_id', 'user', 'id', 'at', 'sub_type', 'revision', '__proto__', 'x'),
    fc.oneof(fc.jsonValue(), fc.constantFrom('', 'logout', 'b'.repeat(64), 'y'.repeat(5000), -1, 1e300)),
  )
  const frames = fc.oneof(
    { weight: 4, arbitrary: fc.record({ instruction: codes, args }).map(frame => JSON.stringify(frame)) },
    fc.json(),
    fc.string(),
  )
  fc.assert(
    fc.property(frames, text => {
      const frame = parseFrame(text)
      if (frame !== null) core.handlers?.onFrame(frame)
    }),
    { numRuns: cases, seed: seedOf() },
  )
  await outpost.refresh()
  const agent = new http.Agent()
  const made: Made = { host: 'app.example', path: `${P}/start`, headers: [], genuine: false }
  assert.equal((await ask(agent, port, made)).status, 302)
})

function seedOf(): number | undefined {
  const given = process.env.POSTERN_TEST_SEED
  return given === undefined ? undefined : Number(given)
}

function judge(made: Made, { status, headers, body }: Answer): string {
  const about = JSON.stringify({ made, status, headers, body: body.slice(0, 300) })
  assert.ok(status >= 200 && status < 500, about)
  if (status >= 400) return 'refusal'
  if (status >= 300) {
    assert.ok(isAllowed(new URL(headers.location ?? '')), about)
    return 'redirect'
  }
  if (status === 204) return 'ping'
  // nginx asks about the outpost's own paths as well, and lets them through to it.
  const original = made.headers.some(
    ([name, value]) => /^x-original-ur[il]$/i.test(name) && value.includes(P),
  )
  if (made.path.startsWith(`${P}/auth/nginx`) && original && headers['x-authentik-username'] === undefined)
    return 'own path'
  const user =
    made.path.startsWith(P) && !body.startsWith('{') ? headers['x-authentik-username'] : seenBy(body)
  assert.equal(user, 'jane', about)
  assert.ok(made.genuine, about)
  return 'identity'
}

/** What the upstream got; identity headers, and no cookie of ours. */
function seenBy(body: string): string {
  const { headers, rawHeaders } = JSON.parse(body) as {
    headers: Record<string, string>
    rawHeaders: string[]
  }
  assert.ok(!(headers.cookie ?? '').includes('authentik_proxy_'))
  const same = rawHeaders.filter((text, at) => at % 2 === 0 && /^x[-_]authentik[-_]username$/i.test(text))
  assert.equal(same.length, 1)
  return headers['x-authentik-username'] ?? ''
}

/** Core, or a host of an application; and the target that Core is told of is one, too. */
function isAllowed(url: URL): boolean {
  if (url.origin === 'https://core.example') {
    const state = url.searchParams.get('state')
    const target = state === null ? '' : String(decodeJwt(state).redirect)
    return target === '' || isOfApplication(new URL(target))
  }
  return isOfApplication(url)
}

function isOfApplication({ protocol, hostname }: URL): boolean {
  if (protocol !== 'https:' && protocol !== 'http:') return false
  const known = ['app.example', 'judged.example', 'dom.example']
  return known.includes(hostname) || hostname.endsWith('.dom.example')
}

function ask(agent: http.Agent, port: number, { host, path, headers }: Made): Promise<Answer> {
  const flat = ['Host', host, ...headers.flat()]
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host: '127.0.0.1', port, path: path.replaceAll(/[^\x21-\x7e]/g, '%20'), headers: flat, agent },
      reply => {
        let body = ''
        reply.setEncoding('utf8').on('data', chunk => {
          body += chunk
        })
        reply.on('error', reject)
        reply.on('end', () => resolve({ status: reply.statusCode ?? 0, headers: reply.headers, body }))
      },
    )
    request.on('error', reject)
    request.end()
  })
}
