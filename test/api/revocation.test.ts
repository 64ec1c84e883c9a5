import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { sha256 } from '../../src/core/secrets.ts'
import { sidOf } from '../../src/core/sessions/cookie.ts'
import { sql } from '../../src/pg/db.ts'
import { startCore, type TestCore } from './start-core.ts'

/** A session at an outpost, as its store would have written it. */
async function outpostSession(core: TestCore, user: { uid: string }, sessionId?: string): Promise<void> {
  const { db } = core.database
  await db.count(sql`
    insert into ${db.t('proxy_sessions')} (key_hash, client_id, sid_hash, user_hash, sealed, created_at, expires_at)
    values (${sha256(randomUUID())}, 'client', ${sessionId === undefined ? null : sha256(sidOf(sessionId))},
      ${sha256(user.uid)}, ${Buffer.from('sealed')}, now(), now() + interval '1 hour')`)
}

async function outpostSessions(core: TestCore): Promise<number> {
  const { db } = core.database
  return (await db.first<{ n: number }>(sql`select count(*)::int as n from ${db.t('proxy_sessions')}`))!.n
}

const ends = [
  ['deactivation', 'PATCH', '', { is_active: false }, 'model_updated'],
  ['deletion', 'DELETE', '', undefined, 'model_deleted'],
  ['a password reset by an administrator', 'POST', 'set_password/', { password: 'another' }, 'password_set'],
] as const

for (const [title, method, action, body, event] of ends)
  test(`${title} ends every session of the user, in Core and at outposts, and its event names the revocation`, async t => {
    const core = await startCore(t)
    const bob = await core.person('bob')
    const alice = await core.person('alice')
    const page = await core.browser(bob.id)
    await outpostSession(core, bob, page.id)
    await outpostSession(core, bob)
    await outpostSession(core, alice)
    assert.equal((await core.ask('GET', '/core/users/me/', undefined, page.headers)).status, 200)
    const answer = await core.admin.ask(method, `/core/users/${bob.id}/${action}`, body)
    assert.ok(answer.status < 300, JSON.stringify(answer.body))
    assert.equal((await core.ask('GET', '/core/users/me/', undefined, page.headers)).status, 403)
    assert.equal(await outpostSessions(core), 1, "alice's remains")
    const sent = core.published.filter(message => message.type === 'session.end')
    assert.equal(sent.length, 2, 'the user, and his session for outposts that know only sessions')
    const events = await core.admin.ask('GET', `/events/events/?action=${event}`)
    const [first] = (events.body as { results: { context: Record<string, unknown> }[] }).results
    assert.deepEqual(first?.context.revocation_receipts, {
      ...{ applied: 0, of: 0, ms: null, not_reporting: 0, silent: [] },
    })
    if (event !== 'password_set')
      assert.equal((await bob.ask('GET', '/core/users/me/')).status, 403, 'the token of an inactive user')
  })

test('deleting a session ends it everywhere, and its logout event counts the receipts of outposts', async t => {
  const core = await startCore(t)
  const { db } = core.database
  const bob = await core.person('bob')
  const one = await core.browser(bob.id)
  const two = await core.browser(bob.id)
  await outpostSession(core, bob, one.id)
  await outpostSession(core, bob, two.id)
  const outpost = randomUUID()
  await db.count(sql`
    insert into ${db.t('outposts')} (id, name, type, user_id) values (${outpost}, 'o', 'proxy', ${core.admin.id})`)
  for (const [instance, receipts] of [
    ['a', true],
    ['b', true],
    ['old', false],
  ] as const)
    await db.count(sql`
      insert into ${db.t('outpost_instances')} (outpost_id, instance_id, hello, receipts, expires_at)
      values (${outpost}, ${instance}, '{"hostname":"here"}', ${receipts}, now() + interval '1 minute')`)

  const listed = await core.ask('GET', '/core/authenticated_sessions/', undefined, one.headers)
  const rows = (listed.body as { results: { uuid: string; current: boolean }[] }).results
  assert.deepEqual(
    rows.filter(row => row.current).map(row => row.uuid),
    [one.id],
  )
  const deleted = await core.ask('DELETE', `/core/authenticated_sessions/${one.id}/`, undefined, one.headers)
  assert.equal(deleted.status, 204)
  assert.equal((await core.ask('GET', '/core/users/me/', undefined, one.headers)).status, 403)
  assert.equal((await core.ask('GET', '/core/users/me/', undefined, two.headers)).status, 200)
  assert.equal(await outpostSessions(core), 1)

  const [message] = core.published.filter(message => message.type === 'session.end')
  await db.count(sql`
    insert into ${db.t('revocation_receipts')} (revocation_id, outpost_id, instance_id, ms)
    values (${message!.body.id}, ${outpost}, 'a', 7)`)
  const logout = await core.admin.ask('GET', '/events/events/?action=logout')
  const [event] = (logout.body as { results: { pk: string; context: Record<string, unknown> }[] }).results
  assert.deepEqual(event?.context.revocation_receipts, {
    ...{ applied: 1, of: 2, ms: 7, not_reporting: 1, silent: ['o: here (b)'] },
  })
})

test("a password one sets oneself keeps the session it was set from and ends one's others", async t => {
  const core = await startCore(t)
  const one = await core.browser(core.admin.id)
  const two = await core.browser(core.admin.id)
  const path = `/core/users/${core.admin.id}/set_password/`
  assert.equal((await core.ask('POST', path, { password: 'mine' }, one.headers)).status, 204)
  assert.equal((await core.ask('GET', '/core/users/me/', undefined, one.headers)).status, 200)
  assert.equal((await core.ask('GET', '/core/users/me/', undefined, two.headers)).status, 403)
})

test('a write with a session cookie needs the CSRF header and an origin of ours', async t => {
  const core = await startCore(t)
  const page = await core.browser(core.admin.id)
  const create = (headers: Record<string, string>) =>
    core.ask('POST', '/core/groups/', { name: 'g' }, headers)
  const { 'x-authentik-csrf': _, ...without } = page.headers
  assert.equal((await create(without)).status, 403)
  assert.equal((await create({ ...page.headers, origin: 'http://evil.example' })).status, 403)
  const other = await core.browser(core.admin.id)
  assert.equal(
    (await create({ ...page.headers, 'x-authentik-csrf': other.headers['x-authentik-csrf']! })).status,
    403,
  )
  assert.equal((await create(page.headers)).status, 201)
})
