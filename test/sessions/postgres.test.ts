import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { createPool, type PgPool } from '../../src/pg/pool.ts'
import type { PgTarget } from '../../src/pg/target.ts'
import { StoreUnavailable } from '../../src/proxy/sessions/store.ts'
import { createPostgresStore } from '../../src/proxy/sessions/store-postgres.ts'
import { testDatabase } from '../postgres.ts'
import { someRecord, storeConformance } from './conformance.ts'
import { sessionsConformance } from './sessions-conformance.ts'

function poolOn(t: TestContext, target: PgTarget): PgPool {
  const pool = createPool({
    target: () => target,
    max: 3,
    applicationName: 'session store test',
    log: silentLog,
  })
  t.after(() => pool.close())
  return pool
}

async function open(t: TestContext) {
  const { pool, schema, target } = await testDatabase(t, { migrated: false })
  const another = async () => {
    const store = createPostgresStore({ pool: poolOn(t, target()), schema })
    await store.prepare()
    return store
  }
  const store = createPostgresStore({ pool, schema })
  await store.prepare()
  return { store, another, pool }
}

storeConformance('postgres', open)
sessionsConformance('postgres', open)

/** A role with no rights but those given; the statements run as superuser. */
async function roleWith(t: TestContext, database: { adminTarget(): PgTarget }, ...grants: string[]) {
  const role = `outpost_${randomBytes(4).toString('hex')}`
  const admin = poolOn(t, database.adminTarget())
  await admin.query(`create role ${role} login password 'secret'`)
  for (const grant of grants) await admin.query(`${grant} ${role}`)
  t.after(async () => {
    const cleaner = createPool({
      target: database.adminTarget,
      max: 1,
      applicationName: 'clean',
      log: silentLog,
    })
    await cleaner.query(`drop owned by ${role}`)
    await cleaner.query(`drop role ${role}`)
    await cleaner.close()
  })
  const target = { ...database.adminTarget(), user: role, password: 'secret' }
  return { role, admin, store: createPostgresStore({ pool: poolOn(t, target), schema: 'public' }) }
}

test('outposts that start at the same time make the table once, with its indexes', async t => {
  const { target, pool, schema } = await testDatabase(t, { migrated: false })
  const stores = Array.from({ length: 5 }, () => createPostgresStore({ pool: poolOn(t, target()), schema }))
  await Promise.all(stores.map(store => store.prepare()))
  const { rows } = await pool.query<{ indexname: string }>(
    "select indexname from pg_indexes where tablename = 'proxy_sessions' order by indexname",
  )
  assert.deepEqual(
    rows.map(row => row.indexname.replace('proxy_sessions_', '')),
    ['client_id', 'expires_at', 'pkey', 'sid_hash', 'user_hash'],
  )
})

test("the table that Core's migration made is taken as it is", async t => {
  const { pool, schema, countStatements } = await testDatabase(t)
  const store = createPostgresStore({ pool, schema })
  const statements = await countStatements(() => store.prepare())
  assert.equal(statements.length, 1, 'it only looks')
  const record = someRecord()
  await store.save(record)
  assert.ok(await store.load(record.keyHash))
})

test('a role with nothing but rights on the table does everything an outpost does', async t => {
  const database = await testDatabase(t)
  const { store } = await roleWith(
    t,
    database,
    'revoke create on schema public from public; grant usage on schema public to',
    'grant select, insert, delete on public.proxy_sessions to',
  )
  await store.prepare()
  const record = someRecord()
  await store.save(record)
  await store.save(someRecord({ expiresAt: new Date(0) }))
  assert.ok(await store.load(record.keyHash))
  assert.equal((await store.live([record.keyHash])).length, 1)
  assert.equal(await store.cleanUp(), 1)
  assert.equal(await store.deleteBySid(record.sidHash!), 1)
  await store.check()
})

test('what is missing is said exactly: table, schema, rights, columns', async t => {
  const database = await testDatabase(t, { migrated: false })
  const { role, admin, store } = await roleWith(t, database, 'grant usage on schema public to')
  await assert.rejects(store.prepare(), {
    name: 'Error',
    message: new RegExp(`proxy_sessions is missing in schema "public" and role "${role}" may not create it`),
  })
  await admin.query('create table public.proxy_sessions (key_hash bytea primary key, client_id text)')
  await assert.rejects(store.prepare(), /lacks sid_hash, user_hash, sealed, created_at, expires_at/)
  await admin.query('drop table public.proxy_sessions')
  await createPostgresStore({ pool: admin, schema: 'public' }).prepare()
  await admin.query(`grant select on public.proxy_sessions to ${role}`)
  await assert.rejects(
    store.prepare(),
    new RegExp(`grant insert, delete on "public".proxy_sessions to "${role}"`),
  )
  await admin.query(`grant insert, delete on public.proxy_sessions to ${role}`)
  await store.prepare()
  const elsewhere = createPostgresStore({ pool: admin, schema: 'no such "schema' })
  await assert.rejects(elsewhere.prepare(), /schema "no such "schema" does not exist.*DEFAULT_SCHEMA/)
})

test('wrong credentials are an error for the operator, a server that is away is an unavailable store', async t => {
  const { target, schema } = await testDatabase(t)
  const wrong = createPostgresStore({ pool: poolOn(t, { ...target(), password: 'wrong' }), schema })
  await assert.rejects(wrong.prepare(), (error: unknown) => !(error instanceof StoreUnavailable))
  const nowhere = { ...target(), hosts: [{ host: '127.0.0.1', port: 1 }], connectTimeoutMs: 1_000 }
  const away = createPostgresStore({ pool: poolOn(t, nowhere), schema })
  await assert.rejects(away.prepare(), StoreUnavailable)
  await assert.rejects(away.load(randomBytes(32)), StoreUnavailable)
  await assert.rejects(away.check(), StoreUnavailable)
})
