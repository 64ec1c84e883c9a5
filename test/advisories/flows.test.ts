// What went wrong in other products' login pages and sessions, and does not here. docs/advisories.md lists them all.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { createBrowser } from '../flows/browser.ts'
import { addFlow, addUser, bind, startCore } from '../flows/core-app.ts'
import { addPerson, startWholeCore } from './whole-core.ts'

const login = 'default-authentication-flow'

test('CVE-2024-47070: no value of X-Forwarded-For makes a stage be left out, it is only as if it were absent', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const flow = await addFlow(test, 'steps', 'authentication', [
    ['identification', {}],
    ['password', {}],
    ['user_login', {}],
  ])
  const binding = await test.core.db.first<{ id: string }>(
    sql`select id from flow_stage_bindings where flow_id = ${flow} and "order" = 1`,
  )
  await bind(test, binding!.id, alice)
  for (const value of [
    'garbage',
    '1.2.3.4:99999',
    '::::',
    '999.1.1.1',
    `${'1.1.1.1,'.repeat(200)}x`,
    '%00',
  ]) {
    const forwarded = { 'x-forwarded-for': value, 'x-forwarded-proto': value, 'x-forwarded-host': 'a b' }
    const browser = createBrowser(test.base)
    await browser.open('steps')
    const name = { component: 'ak-stage-identification', uid_field: 'alice' }
    assert.equal((await browser.answer('steps', name, '', forwarded)).component, 'ak-stage-password', value)
    const wrong = { component: 'ak-stage-password', password: 'wrong' }
    assert.equal((await browser.answer('steps', wrong, '', forwarded)).component, 'ak-stage-password', value)
  }
  const recorded = await test.core.db.rows<{ client_ip: string }>(
    sql`select distinct client_ip from events where action = 'login_failed'`,
  )
  assert.deepEqual(recorded, [{ client_ip: '127.0.0.1' }], 'the peer stands for what cannot be read')
})

test('CVE-2023-36456: forwarding headers of a peer that is not trusted change neither address nor host', async t => {
  const test = await startWholeCore(t)
  test.core.trusted = { isTrusted: () => false }
  const browser = createBrowser(test.base)
  const forged = {
    ...{ 'x-forwarded-for': '198.51.100.7', 'x-real-ip': '198.51.100.7', forwarded: 'for=198.51.100.7' },
    ...{ 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' },
  }
  assert.equal((await browser.get(`/if/flow/${login}/`, forged)).status, 200, 'evil.example would be 421')
  const body = { component: 'ak-stage-identification', uid_field: 'akadmin', password: 'wrong' }
  await browser.answer(login, body, '', forged)
  const failed = await test.core.db.rows<{ client_ip: string }>(
    sql`select client_ip from events where action = 'login_failed'`,
  )
  assert.deepEqual(failed, [{ client_ip: '127.0.0.1' }])
})

test('CVE-2023-26481: nothing in an answer changes who is being signed in', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const bob = await addUser(test, 'bob')
  await addFlow(test, 'steps', 'authentication', [
    ['identification', {}],
    ['password', {}],
    ['user_login', {}],
  ])
  const browser = createBrowser(test.base)
  await browser.open('steps')
  const forged = { pending_user: { id: bob.id }, user: bob.id, user_id: bob.id, username: 'bob' }
  await browser.answer('steps', { component: 'ak-stage-identification', uid_field: 'alice', ...forged })
  const done = await browser.answer('steps', {
    ...{ component: 'ak-stage-password', uid_field: 'bob', password: alice.password, ...forged },
  })
  assert.equal(done.component, 'xak-flow-redirect')
  assert.match((await browser.get('/api/v3/test/me/')).text, /"username":"alice"/)
})

test('CVE-2022-46172, CVE-2022-46145: no flow of a new installation lets a visitor make or change an account', async t => {
  const test = await startWholeCore(t)
  const stages = await test.core.db.rows<{ type: string }>(
    sql`select distinct type from stages order by type`,
  )
  const asking = new Set([
    'consent',
    'identification',
    'initial_setup',
    'password',
    'user_login',
    'user_logout',
  ])
  assert.ok(stages.length > 3)
  for (const { type } of stages) assert.ok(asking.has(type), type)
  const browser = createBrowser(test.base)
  for (const path of ['enrollment', 'recovery', 'unenrollment'])
    assert.equal((await browser.get(`/flows/-/default/${path}/`)).status, 404, path)
  const flows = await test.core.db.rows<{ slug: string; designation: string; authentication: string }>(
    sql`select slug, designation, authentication from flows`,
  )
  for (const { slug, designation, authentication } of flows)
    if (designation === 'stage_configuration' && slug !== 'initial-setup')
      assert.equal(authentication, 'require_authenticated', slug)
  assert.equal((await browser.get('/if/flow/initial-setup/')).status, 404, 'the set-up is over')
  const users = async () => (await test.core.db.rows(sql`select 1 from users`)).length
  const before = await users()
  for (const { slug } of flows) {
    await browser.open(slug)
    const prompt = { component: 'ak-stage-prompt', username: 'eve', password: 'x', email: 'eve@example.com' }
    await browser.answer(slug, prompt)
  }
  assert.equal(await users(), before)
})

test('CVE-2025-64708: what has expired is refused from that moment, not from the next clean-up', async t => {
  const test = await startWholeCore(t)
  const alice = await addPerson(test, 'alice')
  const ask = async (headers: Record<string, string>) =>
    (await fetch(`${test.base}/api/v3/core/users/me/`, { headers })).status
  const { db } = test.core
  for (const [table, headers] of [
    ['sessions', { cookie: alice.cookie }],
    ['tokens', { authorization: `Bearer ${alice.key}` }],
  ] as const) {
    assert.equal(await ask(headers), 200)
    await db.count(
      sql`update ${sql.id(table)} set expires_at = now() - interval '1 second' where user_id = ${alice.id}`,
    )
    assert.equal(await ask(headers), 403)
    assert.equal((await db.rows(sql`select 1 from ${sql.id(table)} where user_id = ${alice.id}`)).length, 1)
  }
})

test('CVE-2022-23555: what one flow has proved is worth nothing in another', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  for (const slug of ['one', 'two'])
    await addFlow(test, slug, 'authentication', [
      ['identification', {}],
      ['password', {}],
      ['user_login', { remember_me_offset: 'days=1' }],
    ])
  const browser = createBrowser(test.base)
  await browser.open('one')
  await browser.answer('one', { component: 'ak-stage-identification', uid_field: 'alice' })
  const proved = await browser.answer('one', { component: 'ak-stage-password', password: alice.password })
  assert.equal(proved.component, 'ak-stage-user-login')
  const elsewhere = await browser.answer('two', { component: 'ak-stage-user-login', remember_me: true })
  assert.equal(elsewhere.component, 'ak-stage-identification')
  assert.equal((await browser.get('/api/v3/test/me/')).status, 403)
  const moved = await test.core.db.count(
    sql`update flow_plans set flow_id = (select id from flows where slug = 'two')`,
  )
  assert.equal(moved, 1)
  assert.equal(
    (await browser.challenge('two')).component,
    'ak-stage-identification',
    'nor moved in the table',
  )
})

test('CVE-2025-29928: a session whose row is gone is no session, whatever cookie is sent', async t => {
  const test = await startWholeCore(t)
  const alice = await addPerson(test, 'alice')
  const ask = (method: string, path: string) =>
    fetch(test.base + path, { method, headers: { cookie: alice.cookie } })
  assert.equal((await ask('GET', '/api/v3/core/users/me/')).status, 200)
  const removed = await fetch(`${test.base}/api/v3/core/authenticated_sessions/${alice.sessionId}/`, {
    ...{ method: 'DELETE', headers: { authorization: `Bearer ${alice.key}` } },
  })
  assert.equal(removed.status, 204)
  assert.equal((await ask('GET', '/api/v3/core/users/me/')).status, 403)
  assert.match((await ask('GET', '/if/user/')).url, /default\/authentication|if\/flow/)
})
