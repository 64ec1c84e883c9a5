import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { lockKey } from '../../src/pg/lock-key.ts'
import { createPool, type PgPool } from '../../src/pg/pool.ts'
import type { PgTarget } from '../../src/pg/target.ts'
import { importSessions } from '../../src/proxy/sessions/import.ts'
import { createSessions } from '../../src/proxy/sessions/sessions.ts'
import { StoreUnavailable } from '../../src/proxy/sessions/store.ts'
import { createFilesystemStore } from '../../src/proxy/sessions/store-filesystem.ts'
import { createPostgresStore } from '../../src/proxy/sessions/store-postgres.ts'
import { testDatabase } from '../postgres.ts'
import { someRecord } from './conformance.ts'
import { someClaims, someProvider } from './sessions-harness.ts'

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

test('a warm request costs no statement, a cold one exactly one that writes nothing', async t => {
  const { pool, schema, countStatements } = await testDatabase(t)
  const store = createPostgresStore({ pool, schema })
  const options = { store, leaseMs: 30_000, maxEntries: 10, log: silentLog }
  const provider = someProvider()
  const { cookieValue } = await createSessions(options).create(provider, someClaims(), Date.now() + 60_000)
  const sessions = createSessions(options)
  const cold = await countStatements(async () => {
    await Promise.all([1, 2, 3].map(() => sessions.find(provider, cookieValue)))
  })
  assert.equal(cold.length, 1)
  assert.match(cold[0]!, /^select .* where key_hash = \$1/s)
  const warm = await countStatements(async () => {
    for (let count = 0; count < 10; count++)
      assert.equal((await sessions.find(provider, cookieValue)).kind, 'session')
    await sessions.find(provider, 'forged')
  })
  assert.deepEqual(warm, [])
})

test('every read and every end of sessions goes through an index', async t => {
  const { pool, schema, adminTarget } = await testDatabase(t)
  const store = createPostgresStore({ pool, schema })
  const admin = poolOn(t, adminTarget())
  await admin.query(
    `insert into proxy_sessions select sha256(n::text::bytea), 'c' || n % 50, sha256(('s' || n)::bytea), sha256(('u' || n)::bytea),
       'x', now(), now() + interval '1 hour' from generate_series(1, 20000) n`,
  )
  await admin.query('analyze proxy_sessions')
  const scans = async () => {
    await pool.query('select pg_stat_force_next_flush()')
    await pool.query('select 1')
    return (
      await admin.query<{ seq: number }>(
        "select seq_scan::int as seq from pg_stat_user_tables where relname = 'proxy_sessions'",
      )
    ).rows[0]!.seq
  }
  const [first] = (await pool.query<{ key_hash: Buffer }>('select key_hash from proxy_sessions limit 1')).rows
  const before = await scans()
  assert.ok(await store.load(first!.key_hash))
  assert.equal((await store.live([first!.key_hash, randomBytes(32)])).length, 1)
  await store.deleteBySid(randomBytes(32))
  await store.deleteByUser(randomBytes(32))
  await store.deleteByUser(randomBytes(32), 'c1')
  await store.deleteByProvider('c1')
  await store.cleanUp()
  assert.equal(await scans(), before)
  await pool.query("select 1 from proxy_sessions where sealed = 'y'")
  assert.equal(await scans(), before + 1, 'a scan would have been seen')
})

test('a row that was moved, lengthened or edited in the table is no session', async t => {
  const { pool, schema, adminTarget } = await testDatabase(t)
  const store = createPostgresStore({ pool, schema })
  const admin = poolOn(t, adminTarget())
  const sessions = createSessions({ store, leaseMs: 0, maxEntries: 10, log: silentLog })
  const provider = someProvider()
  const claims = someClaims()
  const expiresAt = Date.now() + 60_000
  const kind = async (cookie: string) => (await sessions.find(provider, cookie)).kind
  const edits = [
    "expires_at = expires_at + interval '1 day'",
    "expires_at = 'infinity'",
    "created_at = created_at - interval '1 second'",
    "created_at = '-infinity'",
    'sid_hash = null',
    "sid_hash = sha256('x')",
    "user_hash = sha256('x')",
    "client_id = 'other'",
    'sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1)',
    "sealed = ''",
  ]
  for (const edit of edits) {
    const { cookieValue, session } = await sessions.create(provider, claims, expiresAt)
    assert.equal(await kind(cookieValue), 'session')
    await admin.query(`update proxy_sessions set ${edit} where key_hash = $1`, [session.keyHash])
    assert.equal(await kind(cookieValue), 'absent', edit)
  }
  const [mine, other] = [
    await sessions.create(provider, claims, expiresAt),
    await sessions.create(provider, someClaims(), expiresAt),
  ]
  await admin.query('delete from proxy_sessions where key_hash = $1', [mine.session.keyHash])
  await admin.query('update proxy_sessions set key_hash = $1 where key_hash = $2', [
    mine.session.keyHash,
    other.session.keyHash,
  ])
  assert.equal(await kind(mine.cookieValue), 'absent')
})

test('a dump of the table holds neither a usable cookie nor a claim', async t => {
  const { pool, schema } = await testDatabase(t)
  const sessions = createSessions({
    ...{ store: createPostgresStore({ pool, schema }), leaseMs: 0, maxEntries: 10, log: silentLog },
  })
  const provider = someProvider()
  const claims = someClaims({ sub: 'somebody', email: 'somebody@example.com', name: 'Some Body' })
  const { cookieValue } = await sessions.create(provider, claims, Date.now() + 60_000)
  const { rows } = await pool.query<{ all: string; raw: Buffer }>(
    'select s::text as all, s.sealed as raw from proxy_sessions s',
  )
  const dump = rows.map(row => row.all + row.raw.toString('latin1')).join()
  for (const text of [cookieValue, 'somebody', 'Some Body', claims.sid, provider.cookieSecret, 'h.p.s']) {
    assert.equal(dump.includes(text), false, text)
    assert.equal(dump.includes(Buffer.from(text).toString('hex')), false, text)
  }
  assert.equal(dump.includes(Buffer.from(cookieValue, 'base64url').subarray(0, 32).toString('hex')), false)
})

test('a database that drops all connections is only noticed by who asks at that moment', async t => {
  const { pool, schema, adminTarget } = await testDatabase(t)
  const store = createPostgresStore({ pool, schema })
  const record = someRecord()
  await store.save(record)
  const admin = poolOn(t, adminTarget())
  await admin.query(
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
  )
  assert.ok(await store.load(record.keyHash))
})

test('a read that hangs is given up after its deadline, and the next one works', async t => {
  const { pool, schema, adminTarget } = await testDatabase(t)
  const store = createPostgresStore({ pool, schema })
  const record = someRecord()
  await store.save(record)
  await poolOn(t, adminTarget()).transaction(async tx => {
    await tx.query('lock table proxy_sessions in access exclusive mode')
    const before = performance.now()
    await assert.rejects(store.load(record.keyHash), StoreUnavailable)
    assert.ok(performance.now() - before < 15_000)
  })
  assert.ok(await store.load(record.keyHash))
})

test('clean-up leaves the work to whoever is at it', async t => {
  const { pool, schema, adminTarget } = await testDatabase(t)
  const store = createPostgresStore({ pool, schema })
  await store.save(someRecord({ expiresAt: new Date(0) }))
  await poolOn(t, adminTarget()).transaction(async tx => {
    await tx.query('select pg_advisory_xact_lock($1::bigint)', [lockKey(schema, 'proxy_sessions_sweep')])
    assert.equal(await store.cleanUp(), 0)
  })
  assert.equal(await store.cleanUp(), 1)
})

test('file sessions are taken over into PostgreSQL without being read, and importing again brings nothing back', async t => {
  const { pool, schema } = await testDatabase(t)
  const directory = join(await mkdtemp(join(tmpdir(), 'postern-import-test-')), 'sessions')
  t.after(() => rm(join(directory, '..'), { recursive: true, force: true }))
  const files = createFilesystemStore({ directory })
  await files.prepare()
  const to = createPostgresStore({ pool, schema })
  const options = { leaseMs: 0, maxEntries: 10, log: silentLog }
  const provider = someProvider()
  const claims = someClaims()
  const before = createSessions({ ...options, store: files })
  const { cookieValue } = await before.create(provider, claims, Date.now() + 60_000)
  const second = await before.create(provider, someClaims(), Date.now() + 60_000)
  await files.save(someRecord({ expiresAt: new Date(0) }))

  assert.equal(await importSessions({ directory, to, keepFiles: true }), 2)
  assert.equal(await importSessions({ directory, to }), 2)
  assert.equal((await readdir(directory)).length, 1, 'the expired one')
  const after = createSessions({ ...options, store: to })
  const found = await after.find(provider, cookieValue)
  assert.ok(found.kind === 'session')
  assert.deepEqual(found.session.claims, claims)
  assert.equal((await after.find(provider, second.cookieValue)).kind, 'session')

  assert.equal(await after.endSession(provider, cookieValue), 1)
  assert.equal(await importSessions({ directory, to }), 0)
  assert.equal((await after.find(provider, cookieValue)).kind, 'absent')
  await rm(directory, { recursive: true })
  await assert.rejects(importSessions({ directory, to }), StoreUnavailable)
})
