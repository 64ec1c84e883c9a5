import assert from 'node:assert/strict'
import { request } from 'node:http'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { sql } from '../../src/pg/db.ts'
import { version } from '../core/bare-core.ts'
import { createBrowser } from './browser.ts'
import { addFlow, addUser, startCore } from './core-app.ts'

const login = 'default-authentication-flow'

/** GET with a Host of our choice, which `fetch` does not allow, and a path that nothing normalises. */
function getRaw(
  base: string,
  path: string,
  headers: Record<string, string>,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(base)
    const sent = request({ hostname, port, path, headers }, response => {
      const chunks: Buffer[] = []
      response.on('data', chunk => chunks.push(chunk))
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
      )
    })
    sent.on('error', reject).end()
  })
}

test('the flow page loads our files under a policy that runs nothing else', async t => {
  const test = await startCore(t)
  await test.core.db.count(sql`update brands set branding_title = 'A </script> & <b>', branding_custom_css = 'h1{color:red}',
    attributes = '{"settings": {"theme": {"base": "dark"}}}'`)
  const { status, headers, text } = await createBrowser(test.base).open(login)
  assert.equal(status, 200)
  assert.equal(headers.get('content-type'), 'text/html; charset=utf-8')
  const policy = headers.get('content-security-policy') ?? ''
  const nonce = /script-src 'self' 'nonce-([^']+)'/.exec(policy)?.[1]
  assert.ok(nonce !== undefined && nonce.length >= 22)
  for (const part of [
    "default-src 'self'",
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ])
    assert.ok(policy.split('; ').includes(part), part)
  assert.equal(policy.includes('unsafe'), false)
  assert.equal(headers.get('x-frame-options'), 'DENY')
  assert.equal(headers.get('cache-control'), 'no-store')
  for (const tag of text.match(/<(script|style)\b[^>]*>/g) ?? [])
    assert.ok(tag.includes(`nonce="${nonce}"`), tag)
  assert.ok(text.includes('<script type="module" src="/static/dist/assets/flow-1.js"'))
  assert.ok(text.includes('<link rel="modulepreload" href="/static/dist/assets/shared-1.js"'))
  assert.ok(text.includes('<link rel="stylesheet" href="/static/dist/assets/flow-1.css"'))
  assert.ok(text.includes('<title>Sign in – A &#60;/script&#62; &#38; &#60;b&#62;</title>'))
  const island = /<script type="application\/json" id="postern"[^>]*>(.*?)<\/script>/s.exec(text)?.[1] ?? ''
  assert.deepEqual(JSON.parse(island), {
    brand: {
      branding_title: 'A </script> & <b>',
      branding_logo: '',
      branding_favicon: '',
      default_flow_background: '',
    },
    flow: { slug: login, title: 'Sign in', layout: 'stacked' },
    csrf_cookie: 'authentik_csrf',
    version: version,
    theme: 'dark',
  })
  const other = await createBrowser(test.base).open(login)
  assert.equal(other.text.includes(nonce), false, 'a nonce is used once')
})

test('custom styles that could leave their element are left out', async t => {
  const test = await startCore(t)
  await test.core.db.count(
    sql`update brands set branding_custom_css = 'a{} </STYLE ><script>alert(1)</script>'`,
  )
  assert.equal((await createBrowser(test.base).open(login)).text.includes('alert(1)'), false)
})

test('pages answer 421 on a host that is not ours, and the API does not ask', async t => {
  const test = await startCore(t, { baseUrl: 'https://id.example.com' })
  await test.core.db.count(sql`insert into brands (domain) values ('brand.example.org')`)
  const status = async (host: string, path = `/if/flow/${login}/`) =>
    (await getRaw(test.base, path, { host })).status
  for (const host of [
    'id.example.com',
    'ID.example.com:443',
    'localhost:9000',
    '127.0.0.1',
    '[::1]:9000',
    'brand.example.org',
    'sub.brand.example.org',
  ])
    assert.equal(await status(host), 200, host)
  for (const host of [
    'evil.example',
    'xid.example.com',
    'id.example.com.evil.example',
    'notbrand.example.org',
    'authentik-default.x',
    '192.0.2.1',
  ])
    assert.equal(await status(host), 421, host)
  for (const path of [
    '/',
    '/if/user/',
    '/flows/-/default/authentication/',
    '/flows/-/cancel/',
    '/application/launch/x/',
    '/setup',
  ])
    assert.equal(await status('evil.example', path), 421, path)
  const { text } = await getRaw(test.base, '/', { host: 'evil.example', accept: 'text/html' })
  assert.match(text, /POSTERN_BASE_URL/)
  assert.match(text, /https:\/\/id\.example\.com/)
  assert.equal(await status('evil.example', `/api/v3/flows/executor/${login}/?query=`), 200)
})

test('the start page leads everybody to where they belong', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const guest = await addUser(test, 'guest', { type: 'external' })
  const location = async (browser: ReturnType<typeof createBrowser>, path: string) =>
    (await browser.get(path)).headers.get('location')
  const anonymous = createBrowser(test.base)
  assert.equal(await location(anonymous, '/'), '/flows/-/default/authentication/')
  assert.equal(
    await location(anonymous, '/flows/-/default/authentication/?next=%2Fx'),
    `/if/flow/${login}/?next=%2Fx`,
  )
  assert.equal(
    await location(anonymous, '/if/user/settings?a=b'),
    '/flows/-/default/authentication/?next=%2Fif%2Fuser%2Fsettings%3Fa%3Db',
  )
  assert.equal(anonymous.cookies.size, 0, 'a redirect makes no cookie')
  const browser = createBrowser(test.base)
  await browser.signIn('alice', alice.password)
  assert.equal(await location(browser, '/'), '/if/user/')
  const library = await browser.get('/if/user/')
  assert.equal(library.status, 200)
  assert.ok(library.text.includes('/static/dist/assets/user-1.js'))
  assert.equal(library.text.includes('alice'), false, 'the shell is the same for everybody')

  const outside = createBrowser(test.base)
  await outside.signIn('guest', guest.password)
  const denied = await outside.get('/')
  assert.equal(denied.status, 403)
  assert.match(denied.text, /Access denied/)
  await test.core.db.count(sql`with made as (insert into applications (slug, name) values ('start', 'Start') returning id)
    update brands set default_application_id = made.id from made`)
  assert.equal(await location(outside, '/'), '/application/launch/start/')
})

test("the brand's flow goes before others, else the first of its kind that is open", async t => {
  const test = await startCore(t)
  const location = async (path: string) => (await createBrowser(test.base).get(path)).headers.get('location')
  assert.equal(await location('/flows/-/default/recovery/'), null)
  assert.equal((await createBrowser(test.base).get('/flows/-/default/recovery/')).status, 404)
  assert.equal((await createBrowser(test.base).get('/flows/-/default/stage_configuration/')).status, 404)
  const alice = await addUser(test, 'alice')
  const closed = await addFlow(test, 'a-closed', 'recovery', [])
  await addFlow(test, 'b-open', 'recovery', [])
  await test.core.db.count(
    sql`insert into policy_bindings (target_id, user_id) values (${closed}, ${alice.id})`,
  )
  assert.equal(await location('/flows/-/default/recovery/'), '/if/flow/b-open/')
  await addFlow(test, 'a-login', 'authentication', [])
  assert.equal(await location('/flows/-/default/authentication/'), `/if/flow/${login}/`)
  await test.core.db.count(sql`update brands set flow_authentication_id = null`)
  assert.equal(await location('/flows/-/default/authentication/'), '/if/flow/a-login/')
})

test('what is not there is a page for people and JSON for programs', async t => {
  const test = await startCore(t)
  const browser = createBrowser(test.base)
  for (const path of ['/no-such-page', '/if/flow/no-such-flow/', '/if/flow/%00/', '/if/admin/']) {
    const { status, headers, text } = await browser.get(path)
    assert.equal(status, 404, path)
    assert.match(headers.get('content-type') ?? '', /text\/html/)
    assert.match(text, /Not found/)
    assert.equal(/<script/i.test(text), false, 'it needs no script')
  }
  assert.equal(
    (await browser.get('/no-such-page', { accept: 'application/json' })).text,
    '{"detail":"Not found."}',
  )
  assert.equal((await browser.get('/api/v3/no-such/')).text, '{"detail":"Not found."}')
  assert.equal((await browser.get(`/if/flow/${login}?a=b`)).headers.get('location'), `/if/flow/${login}/?a=b`)
  assert.equal((await browser.get('/robots.txt')).text, 'User-agent: *\nDisallow: /\n')
})

test('only built files are served, packed where the browser takes it, and kept for good when their name has a hash', async t => {
  const test = await startCore(t)
  const browser = createBrowser(test.base)
  const script = await browser.get('/static/dist/assets/flow-1.js')
  assert.equal(script.headers.get('content-type'), 'text/javascript; charset=utf-8')
  assert.equal(script.headers.get('cache-control'), 'public, max-age=31536000, immutable')
  assert.equal(script.headers.get('content-encoding'), 'gzip')
  const plain = await fetch(`${test.base}/static/dist/assets/flow-1.js`, {
    headers: { 'accept-encoding': 'identity' },
  })
  assert.equal(plain.headers.get('content-encoding'), null)
  assert.equal(await plain.text(), script.text)
  const packed = await fetch(`${test.base}/static/dist/assets/flow-1.js`)
  assert.ok(Number(packed.headers.get('content-length')) < script.text.length)
  const logo = await browser.get('/static/dist/postern.svg')
  assert.equal(logo.headers.get('cache-control'), 'public, max-age=300')
  const unchanged = await browser.get('/static/dist/postern.svg', {
    'if-none-match': logo.headers.get('etag')!,
  })
  assert.equal(unchanged.status, 304)
  assert.equal(
    gunzipSync(Buffer.from(await rawBody(`${test.base}/static/dist/assets/flow-1.js`))).toString(),
    script.text,
  )
  for (const path of [
    '.vite/manifest.json',
    '../package.json',
    '..%2fpackage.json',
    '%2e%2e/package.json',
    '....//package.json',
    'assets/../.vite/manifest.json',
    'assets/%2e%2e/.vite/manifest.json',
    'assets',
    'assets/',
    'assets/missing.js',
    'assets/flow-1.js%00.css',
    '/etc/passwd',
  ])
    assert.equal((await getRaw(test.base, `/static/dist/${path}`, {})).status, 404, path)
})

test('an application is opened by those who may, at its own address', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const bob = await addUser(test, 'bob')
  await test.core.db.count(sql`insert into applications (slug, name, meta_launch_url)
    values ('wiki', 'Wiki', 'https://wiki.example.com/~%(username)s'), ('hidden', 'Hidden', 'blank://blank')`)
  await test.core.db.count(sql`insert into policy_bindings (target_id, user_id)
    select id, ${alice.id} from applications where slug = 'wiki'`)
  const anonymous = await createBrowser(test.base).get('/application/launch/wiki/')
  assert.equal(
    anonymous.headers.get('location'),
    '/flows/-/default/authentication/?next=%2Fapplication%2Flaunch%2Fwiki%2F',
  )
  const browser = createBrowser(test.base)
  await browser.signIn('alice', alice.password)
  assert.equal(
    (await browser.get('/application/launch/wiki/')).headers.get('location'),
    'https://wiki.example.com/~alice',
  )
  assert.equal((await browser.get('/application/launch/hidden/')).status, 404)
  assert.equal((await browser.get('/application/launch/none/')).status, 404)
  const other = createBrowser(test.base)
  await other.signIn('bob', bob.password)
  assert.equal((await other.get('/application/launch/wiki/')).status, 403)
})

async function rawBody(url: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    request(url, { headers: { 'accept-encoding': 'gzip' } }, response => {
      const chunks: Buffer[] = []
      response.on('data', chunk => chunks.push(chunk))
      response.on('end', () => resolve(Buffer.concat(chunks)))
    })
      .on('error', reject)
      .end()
  })
}
