// In domain mode the browser sends the session cookie to every host of the domain. Behind a front proxy no application may get it: it
// would open its neighbours. Run by a test per program, like front-walk.ts.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import type { StartFront } from './front-programs.ts'
import { freePort } from './front-proxy.ts'
import { switching, upgradeRequest } from './front-walk.ts'
import { createBrowser, startOutpost, startUpstream } from './harness.ts'
import { rawAsk } from './raw-request.ts'

/** Registers the tests of one front proxy. @param name for their titles */
export function testCookies(name: string, startFront: StartFront): void {
  test(`behind ${name} an application of a domain gets its own cookies, and never the session of the domain`, async t => {
    const upstream = await startUpstream(t)
    upstream.server.on('upgrade', (req, socket) => {
      socket.on('error', () => {})
      socket.end(`${switching(req)}\r\n${req.headers.cookie}|`)
    })
    const core = createFakeCore([
      fakeProvider({
        mode: 'forward_domain',
        external_host: 'http://auth.dom.example',
        cookie_domain: 'dom.example',
      }),
    ])
    const { port: outpostPort } = await startOutpost(t, core)
    const port = await freePort()
    const hosts = ['auth.dom.example', 'a.dom.example']
    await startFront(t, {
      ...{ port, hosts, outpostPort, upstreamPort: upstream.port },
      loginHost: 'auth.dom.example',
    })
    const browser = createBrowser(core, port)
    const page = await browser.visit('http://a.dom.example/page')
    assert.equal(page.status, 200, page.hops.join('\n'))
    const [session = ''] = [...browser.cookies]
      .filter(([cookie]) => /^authentik_proxy_[0-9a-f]{8}$/.test(cookie))
      .map(([cookie, { value }]) => `${cookie}=${value}`)
    assert.ok(session)
    const secret = session.split('=')[1] ?? ''
    const sent = async (lines: string[]) => {
      const headers = lines.map(line => ['Cookie', line] as [string, string])
      const answer = await rawAsk(port, '/page', headers, 'a.dom.example')
      assert.ok(!answer.body.includes(secret), `${lines.join('\n')} became ${answer.body}`)
      return answer
    }
    const seen = async (...lines: string[]) => {
      const { status, body } = await sent(lines)
      assert.equal(status, 200, lines.join('\n'))
      const { cookie = '' } = (JSON.parse(body) as { headers: Record<string, string> }).headers
      return cookie
        .split(';')
        .map(part => part.trim())
        .filter(part => part !== '')
        .join('; ')
    }

    assert.equal(await seen(session), '')
    const other = 'authentik_proxy_0badf00d=x'
    for (const [lines, expected] of [
      [[`mine=1; ${session}`], 'mine=1'],
      [[`${session}; mine=1`], 'mine=1'],
      [[`mine=1; ${session}; theme=dark`], 'mine=1; theme=dark'],
      [[`mine=1;${session};theme=dark`], 'mine=1; theme=dark'],
      [[`${other}; mine=1; ${session}; ${other}`], 'mine=1'],
      [[`authentik_session=x; mine=1; authentik_csrf=y; ${session}`], 'mine=1'],
      [
        [`my_authentik_proxy_a=1; note=authentik_proxy_b; ${session}`],
        'my_authentik_proxy_a=1; note=authentik_proxy_b',
      ],
      [['mine=1', session], 'mine=1'],
      [[`quoted="a; b"; ${session}; mine=1`], 'quoted="a; b"; mine=1'],
    ] as [string[], string][])
      assert.equal(await seen(...lines), expected, lines.join('\n'))

    // Planted beside it, to make it slip through: however many, wherever they stand.
    for (const count of [3, 5, 30])
      for (const spelling of [`${other}; `, ';', ' ;', 'authentik_proxy_; ', '"'])
        for (const crowd of [spelling.repeat(count) + session, `${session}; ${spelling.repeat(count)}`])
          await sent([crowd])

    const socket = net.connect(port, '127.0.0.1')
    t.after(() => socket.destroy())
    socket.write(upgradeRequest('a.dom.example', `mine=1; ${session}`))
    let answer = ''
    socket.on('data', chunk => (answer += chunk))
    await once(socket, 'end')
    assert.match(answer, /^HTTP\/1\.1 101 [\s\S]*\r\n\r\nmine=1\|$/)
  })
}
