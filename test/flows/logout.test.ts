import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sha256 } from '../../src/core/secrets.ts'
import { sidOf } from '../../src/core/sessions/cookie.ts'
import { sql } from '../../src/pg/db.ts'
import { createBrowser } from './browser.ts'
import { addUser, startCore } from './core-app.ts'

const invalidation = 'default-invalidation-flow'

test('signing out ends the session here, in the outposts, and is told to those that are away', async t => {
  const test = await startCore(t)
  const { db } = test.core
  const alice = await addUser(test, 'alice')
  const browser = createBrowser(test.base)
  await browser.signIn('alice', alice.password)
  const [session] = await db.rows<{ id: string }>(sql`select id from sessions`)
  const sid = sidOf(session!.id)
  await db.count(sql`insert into proxy_sessions (key_hash, client_id, sid_hash, user_hash, sealed, created_at, expires_at)
    values (${sha256('cookie')}, 'client', ${sha256(sid)}, ${sha256(alice.uid)}, ${Buffer.of(1)}, now(), now() + interval '1 hour')`)
  const cookie = browser.copy()

  const end = await browser.challenge(invalidation, 'next=%2F')
  assert.deepEqual(end, { component: 'xak-flow-redirect', to: '/', final_redirect: true })
  assert.equal(browser.cookies.has('authentik_session'), false)
  assert.match((await cookie.get('/api/v3/test/me/')).text, /not_authenticated/)
  const counts = await db.first(sql`select (select count(*)::int from sessions) as sessions,
    (select count(*)::int from proxy_sessions) as proxy_sessions`)
  assert.deepEqual(counts, { sessions: 0, proxy_sessions: 0 })
  const [revocation] = await db.rows<{ id: string; session_id: string }>(
    sql`select id, session_id from revocations`,
  )
  assert.equal(revocation?.session_id, sid)
  assert.deepEqual(test.published, [{ type: 'session.end', body: { id: Number(revocation!.id) } }])
  const [event] = await db.rows<{ username: string; revocation_id: string }>(sql`
    select "user" ->> 'username' as username, revocation_id from events where action = 'logout'`)
  assert.deepEqual([event?.username, Number(event?.revocation_id)], ['alice', Number(revocation!.id)])
})

test('signing out without a session is a success that does nothing', async t => {
  const test = await startCore(t)
  const browser = createBrowser(test.base)
  assert.equal((await browser.challenge(invalidation)).to, '/')
  assert.equal((await test.core.db.rows(sql`select 1 from revocations`)).length, 0)
})

test('a user who is deactivated or deleted meanwhile is anonymous at the next request', async t => {
  const test = await startCore(t)
  for (const [name, statement] of [
    ['alice', sql`update users set is_active = false where username = 'alice'`],
    ['bob', sql`delete from users where username = 'bob'`],
  ] as const) {
    const user = await addUser(test, name)
    const browser = createBrowser(test.base)
    await browser.signIn(name, user.password)
    assert.match((await browser.get('/api/v3/test/me/')).text, new RegExp(name))
    await test.core.db.count(statement)
    assert.match((await browser.get('/api/v3/test/me/')).text, /not_authenticated/)
  }
})
