// Who may not open an application any more has no session there any more, whichever way the right was lost.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { insertGroup } from '../../src/core/api/groups.sql.ts'
import { reviewAccess } from '../../src/core/policies/lost-access.ts'
import { sha256 } from '../../src/core/secrets.ts'
import { sql } from '../../src/pg/db.ts'
import { type Person, startCore, type TestCore } from './start-core.ts'

interface Application {
  id: string
  slug: string
  providerId: number
  clientId: string
}

async function addApplication({ database: { db }, flows }: TestCore, slug: string): Promise<Application> {
  const provider = await db.first<{ id: number }>(sql`
    insert into ${db.t('providers')} (type, name, authorization_flow_id, invalidation_flow_id)
    values ('proxy', ${slug}, ${flows.authorization}, ${flows.invalidation}) returning id`)
  const clientId = `client-${slug}`
  await db.count(sql`
    insert into ${db.t('oauth2_providers')} (provider_id, client_id, client_secret_sealed) values (${provider!.id}, ${clientId}, '\\x00')`)
  await db.count(sql`
    insert into ${db.t('proxy_providers')} (provider_id, external_host, internal_host, cookie_secret_sealed)
    values (${provider!.id}, ${`https://${slug}.example.com`}, 'http://upstream', '\\x00')`)
  const row = await db.first<{ id: string }>(sql`
    insert into ${db.t('applications')} (slug, name, provider_id) values (${slug}, ${slug}, ${provider!.id}) returning id`)
  return { id: row!.id, slug, providerId: provider!.id, clientId }
}

/** A login at the application: Core's token, and the outpost's session. @param revoked the token was ended, the session not */
async function signIn(
  { database: { db } }: TestCore,
  user: { id: number; uid: string },
  at: Application,
  revoked = false,
): Promise<void> {
  await db.count(sql`
    insert into ${db.t('oauth_access_tokens')} (token_hash, provider_id, user_id, grant_id, scopes, claims_sealed, auth_at, revoked_at, expires_at)
    values (${sha256(randomUUID())}, ${at.providerId}, ${user.id}, ${randomUUID()}, '{}', '\\x00', now(), ${revoked ? new Date() : null},
      now() + interval '1 hour')`)
  await db.count(sql`
    insert into ${db.t('proxy_sessions')} (key_hash, client_id, sid_hash, user_hash, sealed, created_at, expires_at)
    values (${sha256(randomUUID())}, ${at.clientId}, null, ${sha256(user.uid)}, '\\x00', now(), now() + interval '1 hour')`)
}

/** `name@slug` of what is open at outposts, in order. */
async function openAt({ database: { db } }: TestCore): Promise<string[]> {
  const rows = await db.rows<{ open: string }>(sql`
    select u.username || '@' || substr(s.client_id, 8) as open from ${db.t('proxy_sessions')} s
    join ${db.t('users')} u on s.user_hash = sha256(convert_to(u.uid, 'UTF8')) order by 1`)
  return rows.map(row => row.open)
}

/** Ann, Bob and Cid, each signed in at `shop` and at `wiki`. */
async function fleet(t: TestContext) {
  const core = await startCore(t)
  const { db } = core.database
  const [ann, bob, cid] = [await core.person('ann'), await core.person('bob'), await core.person('cid')]
  const [shop, wiki] = [await addApplication(core, 'shop'), await addApplication(core, 'wiki')]
  for (const person of [ann, bob, cid])
    for (const application of [shop, wiki]) await signIn(core, person, application)
  const group = await insertGroup(db, { name: 'staff' })
  const join = (person: Person, to = group) =>
    db.count(sql`insert into ${db.t('memberships')} (user_id, group_id) values (${person.id}, ${to})`)
  /** A binding that was there before the sessions were. */
  const bind = async (to: Application, column: 'user_id' | 'group_id', value: unknown, more = {}) => {
    const { negate = false, expiresAt = null } = more as { negate?: boolean; expiresAt?: Date | null }
    const row = await db.first<{ id: string }>(sql`
      insert into ${db.t('policy_bindings')} (target_id, ${sql.ref(column)}, negate, expires_at)
      values (${to.id}, ${value}, ${negate}, ${expiresAt}) returning id`)
    return row!.id
  }
  const write = async (method: string, path: string, body?: unknown) => {
    const answer = await core.admin.ask(method, path, body)
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body as Record<string, unknown>
  }
  return { core, db, ann, bob, cid, shop, wiki, group, join, bind, write }
}

const everywhere = (name: string) => [`${name}@shop`, `${name}@wiki`]
const atWiki = ['ann@wiki', 'bob@wiki', 'cid@wiki']

test('a first binding ends what all others have open, there and nowhere else; its event and SESSION_END name user and provider', async t => {
  const { core, db, ann, bob, cid, shop, write } = await fleet(t)
  await write('POST', '/policies/bindings/', { target: shop.id, user: ann.id, order: 0 })
  assert.deepEqual(await openAt(core), ['ann@shop', ...atWiki])
  const told = await db.rows<{ id: string; user_uid: string; client_id: string; session_id: string }>(
    sql`select id, user_uid, client_id, session_id from ${db.t('revocations')} order by id`,
  )
  assert.deepEqual(
    told.map(row => [row.user_uid, row.client_id, row.session_id]).sort(),
    [bob, cid].map(({ uid }) => [uid, 'client-shop', '']).sort(),
  )
  const sent = core.published.filter(({ type }) => type === 'session.end').map(({ body }) => body.id)
  assert.deepEqual(
    sent,
    told.map(row => Number(row.id)),
  )
  const live = await db.rows<{ user_id: number }>(sql`
    select user_id from ${db.t('oauth_access_tokens')} where provider_id = ${shop.providerId} and revoked_at is null`)
  assert.deepEqual(live, [{ user_id: ann.id }], 'a bearer of the application is not good for it either')
})

test('a binding that is disabled, turned round, moved or deleted ends what it let open', async t => {
  const { core, ann, bob, cid, shop, wiki, bind, write } = await fleet(t)
  const first = await bind(shop, 'user_id', ann.id)
  const second = await bind(shop, 'user_id', bob.id)
  const third = await bind(shop, 'user_id', cid.id)
  await write('PATCH', `/policies/bindings/${first}/`, { enabled: false })
  assert.deepEqual(await openAt(core), ['ann@wiki', ...everywhere('bob'), ...everywhere('cid')])
  const { revocation_receipts } = (await newestEvent(core, 'model_updated')).context as Record<
    string,
    unknown
  >
  assert.deepEqual(revocation_receipts, { applied: 0, of: 0, ms: null, not_reporting: 0, silent: [] })
  await write('DELETE', `/policies/bindings/${second}/`)
  assert.deepEqual(await openAt(core), ['ann@wiki', 'bob@wiki', ...everywhere('cid')])
  await write('PATCH', `/policies/bindings/${third}/`, { target: wiki.id })
  assert.deepEqual(await openAt(core), everywhere('cid'), 'shop is open to all, and wiki to Cid alone')
  await write('PATCH', `/policies/bindings/${third}/`, { negate: true })
  assert.deepEqual(await openAt(core), ['cid@shop'])
})

test('who leaves a group loses what it opened: by the group, by the user, by its parents, by its deletion', async t => {
  const { core, db, ann, bob, cid, shop, group, join, bind, write } = await fleet(t)
  const above = await insertGroup(db, { name: 'above' })
  for (const person of [ann, bob, cid]) await join(person)
  await write('PATCH', `/core/groups/${group}/`, { parents: [above] })
  await bind(shop, 'group_id', above)
  await write('POST', `/core/groups/${group}/remove_user/`, { pk: ann.id })
  assert.deepEqual(await openAt(core), ['ann@wiki', ...everywhere('bob'), ...everywhere('cid')])
  await write('PATCH', `/core/users/${bob.id}/`, { groups: [] })
  assert.deepEqual(await openAt(core), ['ann@wiki', 'bob@wiki', ...everywhere('cid')])
  await write('PATCH', `/core/groups/${group}/`, { users: [cid.id], name: 'renamed' })
  assert.deepEqual(
    await openAt(core),
    ['ann@wiki', 'bob@wiki', ...everywhere('cid')],
    'nothing has changed for him',
  )
  await write('PATCH', `/core/groups/${group}/`, { parents: [] })
  assert.deepEqual(await openAt(core), atWiki)

  await join(ann, above)
  await signIn(core, ann, shop)
  await bind(shop, 'user_id', bob.id)
  await write('DELETE', `/core/groups/${above}/`)
  assert.deepEqual(await openAt(core), atWiki)
})

test('who joins a group that is shut out, loses what was open; who others alone were shut out for, too', async t => {
  const { core, cid, shop, group, bind, write } = await fleet(t)
  await bind(shop, 'group_id', group, { negate: true })
  await write('POST', `/core/groups/${group}/add_user/`, { pk: cid.id })
  assert.deepEqual(await openAt(core), [...everywhere('ann'), ...everywhere('bob'), 'cid@wiki'])
  const { core: other, bob: out, shop: store, bind: tie, write: order } = await fleet(t)
  await tie(store, 'user_id', out.id, { negate: true })
  await tie(store, 'user_id', (await other.person('dan')).id)
  assert.deepEqual((await openAt(other)).length, 6)
  await order('DELETE', `/core/users/${out.id}/`)
  assert.deepEqual(await openAt(other), ['ann@wiki', 'cid@wiki'], 'only Dan is left who may')
})

test('an application that begins to ask for all of its bindings ends what one of them had opened', async t => {
  const { core, ann, bob, shop, bind, write } = await fleet(t)
  await bind(shop, 'user_id', ann.id)
  await bind(shop, 'user_id', bob.id, { negate: true })
  await write('PATCH', `/core/applications/${shop.slug}/`, { name: 'Shop' })
  assert.deepEqual((await openAt(core)).length, 6, 'a name is no reason to judge anybody')
  await write('PATCH', `/core/applications/${shop.slug}/`, { policy_engine_mode: 'all' })
  assert.deepEqual(await openAt(core), ['ann@shop', ...atWiki])
})

test('the worker judges once more: a login that was under way, a binding whose time is over; and then no more', async t => {
  const { core, db, ann, bob, shop, wiki, bind, write } = await fleet(t)
  const review = () => reviewAccess(db, core.core.bus, new AbortController().signal)
  await write('POST', '/policies/bindings/', { target: shop.id, user: ann.id, order: 0 })
  await signIn(core, bob, shop, true)
  await bind(wiki, 'user_id', bob.id, { expiresAt: new Date(Date.now() - 1000) })
  assert.deepEqual(await openAt(core), ['ann@shop', 'ann@wiki', 'bob@shop', 'bob@wiki', 'cid@wiki'])
  assert.deepEqual(await review(), { judged: 5, ended: 4 })
  assert.deepEqual(await openAt(core), ['ann@shop'])
  assert.deepEqual(await review(), { judged: 1, ended: 0 })
  await db.count(sql`update ${db.t('access_reviews')} set created_at = now() - interval '2 minutes'`)
  await review()
  assert.deepEqual(await db.rows(sql`select 1 from ${db.t('access_reviews')}`), [])
})

test('of five thousand users at an application exactly those without access lose it, within a few statements', async t => {
  const { core, db, shop, group, bind, write } = await fleet(t)
  await db.count(sql`
    with made as (
      insert into ${db.t('users')} (uuid, uid, username, name)
      select gen_random_uuid(), encode(sha256(convert_to('crowd' || n, 'UTF8')), 'hex'), 'crowd-' || n, 'crowd' from generate_series(1, 5000) n
      returning id, uid
    ), members as (
      insert into ${db.t('memberships')} (user_id, group_id) select id, ${group}::uuid from made where id % 2 = 0
    ), tokens as (
      insert into ${db.t('oauth_access_tokens')} (token_hash, provider_id, user_id, grant_id, scopes, claims_sealed, auth_at, expires_at)
      select convert_to(uid, 'UTF8'), ${shop.providerId}, id, gen_random_uuid(), '{}', '\\x00', now(), now() + interval '1 hour' from made
    )
    insert into ${db.t('proxy_sessions')} (key_hash, client_id, sid_hash, user_hash, sealed, created_at, expires_at)
    select convert_to(uid, 'UTF8'), ${shop.clientId}, null, sha256(convert_to(uid, 'UTF8')), '\\x00', now(), now() + interval '1 hour'
    from made`)
  await bind(shop, 'group_id', group)
  const statements = await core.database.countStatements(async () => {
    const began = performance.now()
    await write('POST', '/policies/bindings/', { target: shop.id, group, order: 1 })
    t.diagnostic(`5003 judged, half of them ended, in ${Math.round(performance.now() - began)} ms`)
  })
  const left = await openAt(core)
  const members = await db.rows<{ username: string }>(sql`
    select u.username from ${db.t('memberships')} m join ${db.t('users')} u on u.id = m.user_id where m.group_id = ${group}`)
  assert.deepEqual(
    left.filter(one => one.endsWith('@shop')).sort(),
    members.map(({ username }) => `${username}@shop`).sort(),
  )
  assert.ok(statements.length < 50, `${statements.length} statements`)
})

async function newestEvent(core: TestCore, action: string): Promise<{ context: unknown }> {
  const { body } = await core.admin.ask('GET', `/events/events/?action=${action}&ordering=-created`)
  return (body as { results: { context: unknown }[] }).results[0]!
}
