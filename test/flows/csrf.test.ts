import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { createBrowser } from './browser.ts'
import { addUser, startCore } from './core-app.ts'

const login = 'default-authentication-flow'

test('an answer that does not come from our page is refused', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const browser = createBrowser(test.base)
  await browser.open(login)
  const body = { component: 'ak-stage-identification', uid_field: 'alice', password: alice.password }
  const stranger = createBrowser(test.base)
  await stranger.open(login)
  const refused: [string, Record<string, string>][] = [
    ['no header', { 'x-authentik-csrf': '' }],
    ['invented', { 'x-authentik-csrf': 'x'.repeat(64) }],
    ["another browser's", { 'x-authentik-csrf': stranger.cookies.get('authentik_csrf')! }],
    ['foreign origin', { origin: 'https://evil.example' }],
    ['null origin', { origin: 'null' }],
    ['origin with our name in it', { origin: `${test.base}.evil.example` }],
    ['cross-site fetch', { 'sec-fetch-site': 'cross-site' }],
    ['sibling site', { 'sec-fetch-site': 'same-site' }],
  ]
  for (const [what, headers] of refused) {
    const answer = await browser.answer(login, body, '', headers)
    assert.deepEqual([answer.status, answer.code], [403, 'csrf_failed'], what)
  }
  assert.equal((await test.core.db.rows(sql`select 1 from sessions`)).length, 0)
  assert.equal((await test.core.db.rows(sql`select 1 from sign_in_failures`)).length, 0)
  const accepted = await browser.answer(login, body, '', {
    origin: test.base,
    'sec-fetch-site': 'same-origin',
  })
  assert.equal(accepted.component, 'xak-flow-redirect')
})

test('a token from before the login is dead after it', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const browser = createBrowser(test.base)
  await browser.open(login)
  const before = browser.cookies.get('authentik_csrf')!
  await browser.signIn('alice', alice.password)
  browser.cookies.set('authentik_csrf', before)
  const answer = await browser.answer(login, {}, '', {})
  assert.equal(answer.code, 'csrf_failed')
  await browser.open(login)
  assert.equal((await browser.answer(login, {})).status, 200, 'opening the page heals it')
})

test('another site cannot make the browser fetch the executor, which may sign out', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const browser = createBrowser(test.base)
  await browser.signIn('alice', alice.password)
  const path = '/api/v3/flows/executor/default-invalidation-flow/?query='
  for (const site of ['cross-site', 'same-site'])
    assert.equal((await browser.get(path, { 'sec-fetch-site': site })).status, 403)
  assert.match((await browser.get('/api/v3/test/me/')).text, /alice/)
})
