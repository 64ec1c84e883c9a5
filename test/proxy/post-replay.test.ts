// A form that comes after the end of its session is sent again after the login: where it is wanted, once, and never for another site.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Answer, ask, createBrowser, startOutpost } from './harness.ts'
import { setUp } from './login-walk.ts'

const form = 'title=R%26D+%22%3Cb%3E%22&note=line+one%0D%0Aline+two&note=%C3%A9'

async function withReplay(t: TestContext, replayBytes = 2000) {
  const all = await setUp(t)
  const { port, sessions } = await startOutpost(t, all.core, { replayBytes })
  const browser = createBrowser(all.core, port)
  const post = async (headers: Record<string, string | undefined> = {}, body = form): Promise<Answer> => {
    const sent = {
      'x-forwarded-proto': 'https',
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': String(Buffer.byteLength(body)),
      'sec-fetch-site': 'same-origin',
      'sec-fetch-mode': 'navigate',
      origin: 'https://app.example',
      ...headers,
    }
    const kept = Object.entries(sent).filter((pair): pair is [string, string] => pair[1] !== undefined)
    const path = '/articles?draft=1'
    const about = { port, host: 'app.example', method: 'POST', path, body }
    return ask({ ...about, headers: Object.fromEntries(kept) })
  }
  /** The address of the callback after a POST that was kept, with its cookies in the browser. */
  const untilCallback = async () => {
    const reply = await post()
    for (const line of reply.headers['set-cookie'] ?? []) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      browser.cookies.set(name, { value, path: '/outpost.goauthentik.io/callback' })
    }
    return all.core.authorize(reply.headers.location ?? '')
  }
  return { ...all, port, sessions, browser, post, untilCallback }
}

function formCookie(reply: Answer): string | undefined {
  return reply.headers['set-cookie']?.find(line => /^authentik_proxy_[0-9a-f]{8}_form=/.test(line))
}

test('a form is kept through the login and sent again by a page that runs one script and posts to one origin', async t => {
  const { browser, untilCallback } = await withReplay(t)
  const callback = await untilCallback()
  const page = await browser.get(callback)
  assert.equal(page.status, 200)
  assert.equal(page.headers['cache-control'], 'no-store')
  const policy = String(page.headers['content-security-policy'])
  const nonce = /script-src 'nonce-([\w-]{22})';/.exec(policy)?.[1]
  assert.ok(nonce !== undefined && page.body.includes(`<script nonce="${nonce}">`))
  assert.match(policy, /default-src 'none'/)
  assert.match(policy, /form-action https:\/\/app\.example;/)
  assert.match(page.body, /<form method="post" action="https:\/\/app\.example\/articles\?draft=1">/)
  assert.deepEqual(fieldsOf(page.body), [...new URLSearchParams(form)])
  assert.match(
    [...browser.cookies.keys()].join(),
    /^authentik_proxy_[0-9a-f]{8}$/,
    'only the session is left',
  )
})

test('a form is sent again once: the second callback goes to the page itself', async t => {
  const { browser, untilCallback } = await withReplay(t)
  const callback = await untilCallback()
  const before = new Map(browser.cookies)
  assert.equal((await browser.get(callback)).status, 200)
  assert.equal((await browser.get(callback)).status, 302)
  for (const [name, cookie] of before) browser.cookies.set(name, cookie)
  const copied = await browser.get(callback)
  assert.equal(copied.status, 302, 'also for somebody who has kept the cookies')
  assert.equal(copied.headers.location, 'https://app.example/articles?draft=1')
})

test('what is kept is sealed and belongs to one login', async t => {
  const { browser, post, untilCallback } = await withReplay(t)
  const cookie = formCookie(await post()) ?? ''
  assert.ok(
    cookie !== '' && !cookie.includes('note') && !cookie.includes(Buffer.from(form).toString('base64url')),
  )
  assert.match(
    cookie,
    /; Path=\/outpost\.goauthentik\.io\/callback; Max-Age=600; HttpOnly; Secure; SameSite=Lax$/,
  )
  const callback = await untilCallback()
  const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
  browser.cookies.set(name, { value, path: '/outpost.goauthentik.io/callback' })
  const reply = await browser.get(callback)
  assert.equal(reply.status, 302, 'the form of another login is not sent')
})

test('without the setting nothing is kept', async t => {
  const { post } = await withReplay(t, 0)
  const reply = await post()
  assert.equal(reply.status, 302)
  assert.match(reply.headers.location ?? '', /^https:\/\/app\.example\/outpost\.goauthentik\.io\/start\?/)
})

test('only a small plain form that a page of the same origin sent is kept', async t => {
  const { post } = await withReplay(t, 200)
  assert.ok(formCookie(await post()))
  const refused: [Record<string, string | undefined>, string?][] = [
    [{ 'sec-fetch-site': 'cross-site' }],
    [{ 'sec-fetch-site': 'same-site' }],
    [{ 'sec-fetch-site': undefined }],
    [{ origin: 'https://evil.example' }],
    [{ origin: undefined }],
    [{ origin: 'null' }],
    [{ 'sec-fetch-mode': undefined }],
    [{ 'content-type': 'application/json' }],
    [{ 'content-type': 'multipart/form-data; boundary=x' }],
    [{}, `a=${'x'.repeat(300)}`],
  ]
  for (const [headers, body] of refused)
    assert.equal(formCookie(await post(headers, body)), undefined, JSON.stringify(headers))
})

test('the largest form fits into a cookie that browsers take', async t => {
  const { post } = await withReplay(t, 1_000_000)
  const largest = formCookie(await post({}, `a=${'x'.repeat(2698)}`)) ?? ''
  const [pair = ''] = largest.split('; ')
  assert.ok(pair.length > 3600 && pair.length <= 4096, `${pair.length}`)
  assert.equal(formCookie(await post({}, `a=${'x'.repeat(2699)}`)), undefined)
})

function fieldsOf(page: string): [string, string][] {
  const plain = (text = '') => text.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)))
  return [...page.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)].map(
    ([, name, value]) => [plain(name), plain(value)],
  )
}
