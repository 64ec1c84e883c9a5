import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { expiringTables } from '../../src/core/outposts/housekeeping.sql.ts'
import { sweepExpired } from '../../src/core/outposts/housekeeping.ts'
import { sha256 } from '../../src/core/secrets.ts'
import { insertUser } from '../../src/core/users/new-user.sql.ts'
import { type Db, sql } from '../../src/pg/db.ts'
import { tryLockInTx } from '../../src/pg/lock.ts'
import { testDatabase } from '../postgres.ts'

const counts = async (db: Db): Promise<Record<string, number>> => {
  const found: Record<string, number> = {}
  for (const table of expiringTables)
    found[table] = (await db.first<{ n: number }>(sql`select count(*)::int as n from ${db.t(table)}`))!.n
  return found
}

/** One row that has ended and one that has not, in every table that expires. */
async function fill(db: Db): Promise<void> {
  const user = await insertUser(db, randomUUID(), { username: 'u' })
  const flow = await db.first<{ id: string }>(sql`
    insert into ${db.t('flows')} (slug, name, title, designation) values ('f', 'f', 'f', 'authorization') returning id`)
  const provider = await db.first<{ id: number }>(sql`
    insert into ${db.t('providers')} (type, name, authorization_flow_id, invalidation_flow_id)
    values ('oauth2', 'p', ${flow!.id}, ${flow!.id}) returning id`)
  await db.count(sql`
    insert into ${db.t('oauth2_providers')} (provider_id, client_id, client_secret_sealed) values (${provider!.id}, 'c', 'x')`)
  const outpost = randomUUID()
  await db.count(sql`
    insert into ${db.t('outposts')} (id, name, type, user_id) values (${outpost}, 'o', 'proxy', ${user.id})`)
  for (const ends of [sql`now() - interval '1 day 1 hour'`, sql`now() + interval '1 hour'`]) {
    const key = sha256(randomUUID())
    const session = randomUUID()
    const grant = sql`${provider!.id}, ${user.id}, ${randomUUID()}, '{}', now()`
    const application = await db.first<{ id: string }>(sql`
      insert into ${db.t('applications')} (slug, name) values (${randomUUID()}, 'a') returning id`)
    await db.count(
      sql`insert into ${db.t('sessions')} (id, key_hash, expires_at) values (${session}, ${key}, ${ends})`,
    )
    await db.count(sql`
      insert into ${db.t('flow_plans')} (session_id, flow_id, flow_version, steps, expires_at)
      values (${session}, ${flow!.id}, 1, '[]', ${ends})`)
    await db.count(sql`
      insert into ${db.t('tokens')} (identifier, intent, user_id, key_hash, expires_at)
      values (${randomUUID()}, 'api', ${user.id}, ${key}, ${ends})`)
    await db.count(sql`
      insert into ${db.t('oauth_codes')} (code_hash, provider_id, user_id, grant_id, scopes, auth_at, redirect_uri, expires_at)
      values (${key}, ${grant}, 'r', ${ends})`)
    await db.count(sql`
      insert into ${db.t('oauth_access_tokens')} (token_hash, provider_id, user_id, grant_id, scopes, auth_at, claims_sealed, expires_at)
      values (${key}, ${grant}, '{}', ${ends})`)
    await db.count(sql`
      insert into ${db.t('oauth_refresh_tokens')} (token_hash, provider_id, user_id, grant_id, scopes, auth_at, expires_at)
      values (${key}, ${grant}, ${ends})`)
    await db.count(sql`
      insert into ${db.t('user_consents')} (user_id, application_id, permissions, expires_at)
      values (${user.id}, ${application!.id}, '{}', ${ends})`)
    await db.count(
      sql`insert into ${db.t('events')} (action, app, expires_at) values ('login', 'a', ${ends})`,
    )
    await db.count(sql`
      insert into ${db.t('sign_in_failures')} (key, failures, window_ends_at, expires_at)
      values (${randomUUID()}, 1, now(), ${ends})`)
    await db.count(
      sql`insert into ${db.t('task_fan_outs')} (id, total, expires_at) values (${randomUUID()}, 1, ${ends})`,
    )
    await db.count(sql`insert into ${db.t('revocations')} (session_id, created_at) values ('s', ${ends})`)
    await db.count(sql`
      insert into ${db.t('outpost_instances')} (outpost_id, instance_id, hello, expires_at)
      values (${outpost}, ${randomUUID()}, '{}', ${ends})`)
    await db.count(sql`
      insert into ${db.t('proxy_sessions')} (key_hash, client_id, user_hash, sealed, created_at, expires_at)
      values (${key}, 'c', ${key}, 'x', now(), ${ends})`)
  }
  await db.count(sql`
    insert into ${db.t('tokens')} (identifier, intent, user_id, key_hash) values ('for ever', 'api', ${user.id}, ${sha256('k')})`)
}

test('what has ended goes from every table, what has not stays, and a token without end does too', async t => {
  const { db } = await testDatabase(t)
  await fill(db)
  const before = await counts(db)
  for (const table of expiringTables) assert.ok(before[table]! >= 2, `${table} has nothing to sweep`)
  const deleted = await sweepExpired(db)
  assert.deepEqual(deleted, Object.fromEntries(expiringTables.map(table => [table, 1])))
  const after = await counts(db)
  for (const table of expiringTables) assert.equal(after[table], before[table]! - 1, table)
  assert.ok(await db.first(sql`select 1 from ${db.t('tokens')} where identifier = 'for ever'`))
  assert.deepEqual(await sweepExpired(db), Object.fromEntries(expiringTables.map(table => [table, 0])))
})

test('every table with a time of expiry is swept', async t => {
  const { db } = await testDatabase(t)
  const rows = await db.rows<{ table_name: string }>(sql`
    select table_name from information_schema.columns where table_schema = ${db.schema} and column_name = 'expires_at'
    order by 1`)
  // A binding that ran out fails on purpose until somebody deletes it; leases are renewed, never deleted; the cache sweeps itself.
  const kept = new Set(['policy_bindings', 'leases', 'cache_entries'])
  const found = rows.map(row => row.table_name).filter(name => !kept.has(name))
  assert.deepEqual(found, expiringTables.filter(name => name !== 'revocations').toSorted())
})

test('many rows go in batches, one statement each, and a table somebody else sweeps is left alone', async t => {
  const database = await testDatabase(t)
  const { db } = database
  await db.count(sql`
    insert into ${db.t('events')} (action, app, expires_at)
    select 'login', 'a', now() - interval '1 second' from generate_series(1, 600)`)
  const statements = await database.countStatements(async () => {
    assert.deepEqual(await sweepExpired(db, { tables: ['events'] }), { events: 600 })
  })
  const deletes = statements.filter(text => text.includes('delete'))
  assert.equal(deletes.length, 3)
  assert.equal(statements.length, 3, statements.join('\n'))
  await db.count(sql`
    insert into ${db.t('events')} (action, app, expires_at) values ('login', 'a', now() - interval '1 second')`)
  await db.transaction(async tx => {
    assert.ok(await tryLockInTx(tx, 'sweep', 'events'))
    assert.deepEqual(await sweepExpired(db, { tables: ['events', 'tokens'] }), { tokens: 0 })
  })
  assert.deepEqual(await sweepExpired(db, { tables: ['events'] }), { events: 1 })
})
