// The outpost's own paths and query signatures, on hosts of applications in every mode.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ask, startUpstream } from './harness.ts'
import { judge, P, setUp as setUpJudging, signIn } from './judge.ts'
import { setUp, untilCallback } from './login-walk.ts'

const host = 'app.example'

test('every method is answered like GET, at the start of a login and at the check', async t => {
  const all = await setUpJudging(t)
  const { port } = all
  for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PROPFIND']) {
    const start = await ask({ port, host, method, path: `${P}/start` })
    assert.equal(start.status, 302, method)
    assert.match(start.headers.location ?? '', /^https:\/\/core\.example\/application\/o\/authorize\//)
    const headers = { 'x-original-url': 'https://app.example/page' }
    assert.equal((await ask({ port, host, method, path: `${P}/auth/nginx`, headers })).status, 401, method)
  }
})

test('own paths match exactly; what is none of them is not found, and never the application', async t => {
  let asked = 0
  const upstream = await startUpstream(t, (_req, res) => {
    asked++
    res.end()
  })
  const { port } = await setUp(t, { internal_host: upstream.url, skip_path_regex: '.' })
  for (const path of [
    '',
    '/',
    '/start/',
    '/callback/',
    '/Start',
    '/signout',
    '/auth/apache',
    '/auth/nginx/x',
  ])
    assert.equal((await ask({ port, host, path: P + path })).status, 404, path)
  for (const path of ['/static/', '/static/dist/page.js', '/static/../start'])
    assert.equal((await ask({ port, host, path: P + path })).status, 404, path)
  assert.equal(asked, 0)
  assert.equal((await ask({ port, host, path: `${P}x` })).status, 200, 'a path that only begins alike')
  assert.equal(asked, 1)
})

test('in mode proxy the callback and the sign-out are recognised on any path, whatever the case of "true"', async t => {
  const all = await setUp(t)
  const { browser } = all
  const { search } = new URL(await untilCallback(all))
  const query = search.replace('X-authentik-auth-callback=true', 'X-authentik-auth-callback=TRUE')
  assert.match(query, /=TRUE/)
  const done = await browser.visit(`https://app.example${P}/callback${query}`)
  assert.equal(done.status, 200)
  assert.equal(done.url, 'https://app.example/page')
  for (const no of ['false', '', '1', 'true%20'])
    assert.equal((await browser.get(`https://app.example/x?X-authentik-logout=${no}`)).status, 200, no)
  const out = await browser.get('https://app.example/some/page?a=1&X-authentik-logout=True')
  assert.match(out.headers.location ?? '', /end-session/)
  assert.equal((await browser.get('https://app.example/x')).status, 302)
})

test('of both signatures the callback counts, so that nobody is signed out by a link to it', async t => {
  const { browser } = await setUp(t)
  await browser.visit('https://app.example/')
  const both = '?X-authentik-logout=true&X-authentik-auth-callback=true'
  assert.equal((await browser.get(`https://app.example/${both}`)).status, 400, 'a callback without state')
  assert.equal((await browser.get('https://app.example/')).status, 200, 'still signed in')
})

test('nginx takes no signature from the URL it asks about: it could not pass the answer on', async t => {
  const all = await setUpJudging(t)
  const cookie = await signIn(all)
  const url = 'https://app.example/?X-authentik-logout=true'
  assert.equal((await judge(all.port, 'nginx', url, { cookie })).status, 200)
  assert.equal((await judge(all.port, 'nginx', url)).status, 401)
})

test('the time of the last configuration is a metric, and an outpost without providers says so', async t => {
  const { core, outpost, registry, lines } = await setUpJudging(t)
  const seconds = async () =>
    Number(/^authentik_outpost_last_update\{[^}]*\} ([\d.e+]+)$/m.exec(await registry.metrics())?.[1])
  const before = await seconds()
  assert.ok(Math.abs(before - Date.now() / 1000) < 60, `${before}`)
  core.failing.set('providers', new Error('Core is away'))
  await outpost.refresh()
  assert.equal(await seconds(), before, 'a failed refresh is none')
  core.failing.clear()
  core.providers = []
  await outpost.refresh()
  assert.ok((await seconds()) >= before)
  assert.ok(lines.some(({ event }) => String(event).startsWith('No providers assigned to this outpost')))
})
