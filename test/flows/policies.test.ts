import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mayAccess } from '../../src/core/policies/bindings.ts'
import { findPrincipal } from '../../src/core/sessions/sessions.sql.ts'
import { sql } from '../../src/pg/db.ts'
import { addUser, bind, startCore, type TestCore } from './core-app.ts'

async function addApplication(
  { core: { db } }: TestCore,
  slug: string,
  columns: Record<string, string> = {},
): Promise<string> {
  const row = await db.first<{ id: string }>(
    sql`insert into applications (slug, name) values (${slug}, ${`Application ${slug}`}) returning id`,
  )
  for (const [name, value] of Object.entries(columns))
    await db.count(sql`update applications set ${sql.id(name)} = ${value} where id = ${row!.id}`)
  return row!.id
}

async function prepare(t: Parameters<typeof startCore>[0]) {
  const test = await startCore(t)
  const { db } = test.core
  const alice = await addUser(test, 'alice')
  const bob = await addUser(test, 'bob')
  const may = async (user: { id: number } | null, target: string, mode: 'any' | 'all' = 'any') => {
    const principal = user === null ? null : ((await findPrincipal(db, user.id)) ?? null)
    return (await mayAccess(db, principal, target, mode)).passing
  }
  return { test, db, alice, bob, may }
}

test('what nobody is bound to is open, what somebody is bound to is closed to others', async t => {
  const { test, alice, bob, may } = await prepare(t)
  const application = await addApplication(test, 'wiki')
  assert.deepEqual([await may(alice, application), await may(null, application)], [true, true])
  await bind(test, application, alice)
  assert.deepEqual(
    [await may(alice, application), await may(bob, application), await may(null, application)],
    [true, false, false],
  )
})

test('superusers are not above bindings', async t => {
  const { test, db, alice, may } = await prepare(t)
  const application = await addApplication(test, 'wiki')
  await bind(test, application, alice)
  const admin = await db.first<{ id: number }>(sql`select id from users where username = 'akadmin'`)
  assert.equal((await findPrincipal(db, admin!.id))?.isSuperuser, true)
  assert.equal(await may(admin!, application), false)
})

test('the end of the last binding does not open what it closed', async t => {
  const { test, alice, bob, may } = await prepare(t)
  const application = await addApplication(test, 'wiki')
  await bind(test, application, alice, { expired: true })
  await bind(test, application, bob, { expired: true, negate: true })
  assert.deepEqual([await may(alice, application), await may(bob, application)], [false, false])
  await test.core.db.count(sql`update policy_bindings set enabled = false`)
  assert.equal(await may(bob, application), true, 'one that is switched off counts as absent')
})

test('members of a group and of the groups below it pass', async t => {
  const { test, db, alice, bob, may } = await prepare(t)
  const application = await addApplication(test, 'wiki')
  const group = async (name: string) =>
    (await db.first<{ id: string }>(sql`insert into groups (name) values (${name}) returning id`))!.id
  const [parent, child] = [await group('parent'), await group('child')]
  for (const [from, to] of [
    [parent, parent],
    [child, child],
    [child, parent],
  ])
    await db.count(sql`insert into group_closure (group_id, ancestor_id) values (${from}, ${to})`)
  await db.count(sql`insert into policy_bindings (target_id, group_id) values (${application}, ${parent})`)
  assert.equal(await may(alice, application), false)
  await db.count(sql`insert into memberships (user_id, group_id) values (${alice.id}, ${child})`)
  assert.deepEqual([await may(alice, application), await may(bob, application)], [true, false])
})

test('any binding is enough, or every one, as the target says; a negated one turns round', async t => {
  const { test, alice, bob, may } = await prepare(t)
  const application = await addApplication(test, 'wiki')
  await bind(test, application, alice)
  await bind(test, application, bob, { negate: true })
  assert.deepEqual([await may(alice, application, 'all'), await may(bob, application, 'all')], [true, false])
  await bind(test, application, bob)
  assert.deepEqual(
    [await may(alice, application, 'all'), await may(alice, application, 'any')],
    [false, true],
  )
  assert.equal(await may(null, application, 'any'), false, 'nobody at all never passes, negated or not')
})
