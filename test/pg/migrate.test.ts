import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { openConnection } from '../../src/pg/client.ts'
import { sql } from '../../src/pg/db.ts'
import {
  type MigrateOptions,
  MigrationError,
  type MigrationErrorCode,
  migrate,
} from '../../src/pg/migrate.ts'
import { loadMigrations, type Migration } from '../../src/pg/migrations.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { eventually } from './eventually.ts'

const first: Migration = {
  id: 1,
  name: 'first',
  sql: 'create table :schema.one (n int); insert into :schema.one values (1)',
}
const second: Migration = {
  id: 2,
  name: 'second',
  sql: "create table :schema.two as select 'a::text'::text as t",
}

function optionsFor(database: TestDatabase, more: Partial<MigrateOptions> = {}): MigrateOptions {
  return {
    target: database.directTarget(),
    schema: 'public',
    migrations: [first, second],
    appVersion: '1.0.0',
    log: silentLog,
    mode: 'apply',
    ...more,
  }
}

async function failure(options: MigrateOptions, code: MigrationErrorCode, text: RegExp): Promise<void> {
  await assert.rejects(migrate(options), (error: unknown) => {
    assert.ok(error instanceof MigrationError, `${error}`)
    assert.equal(error.code, code)
    assert.match(error.message, text)
    return true
  })
}

test('what is missing is applied in order and remembered; a second call does one statement', async t => {
  const database = await testDatabase(t, { migrated: false })
  assert.deepEqual(await migrate(optionsFor(database, { migrations: [first] })), { applied: [1] })
  assert.deepEqual(await migrate(optionsFor(database)), { applied: [2] })
  const rows = await database.db.rows(
    sql`select id, name, app_version, finished_at >= started_at as done from migrations`,
  )
  assert.deepEqual(rows, [
    { id: 1, name: 'first', app_version: '1.0.0', done: true },
    { id: 2, name: 'second', app_version: '1.0.0', done: true },
  ])
  const statements = await database.countStatements(async () => {
    assert.deepEqual(await migrate(optionsFor(database)), { applied: [] })
  })
  assert.equal(statements.length, 1)
})

test('eight starters at once apply each migration once', async t => {
  const database = await testDatabase(t, { migrated: false })
  const results = await Promise.all(
    Array.from({ length: 8 }, () => migrate(optionsFor(database, { schema: 'own "schema' }))),
  )
  assert.deepEqual(results.flatMap(result => result.applied).sort(), [1, 2])
  assert.deepEqual(await database.db.rows(sql`select n from "own ""schema".one`), [{ n: 1 }])
})

test('an index is built concurrently while others wait for their turn', async t => {
  const database = await testDatabase(t, { migrated: false })
  const built: Migration = {
    id: 3,
    name: 'index',
    sql: '-- no-transaction\ndrop index concurrently if exists :schema.one_n; -- an invalid leftover\ncreate index concurrently one_n on :schema.one (n);',
  }
  const options = optionsFor(database, { migrations: [first, second, built] })
  const results = await Promise.all(Array.from({ length: 8 }, () => migrate(options)))
  assert.deepEqual(results.flatMap(result => result.applied).sort(), [1, 2, 3])
  const valid = await database.db.rows(
    sql`select indisvalid from pg_index where indexrelid = 'one_n'::regclass`,
  )
  assert.deepEqual(valid, [{ indisvalid: true }])
})

test('a failing migration leaves nothing of itself, names itself, and can be repeated', async t => {
  const database = await testDatabase(t, { migrated: false })
  const bad = { ...second, sql: 'create table :schema.two (n int); select 1 / 0' }
  await failure(
    optionsFor(database, { migrations: [first, bad] }),
    'migration_failed',
    /0002_second failed: division by zero/,
  )
  assert.deepEqual(await migrate(optionsFor(database)), { applied: [2] })
})

test('a killed migrator is succeeded within seconds by one that waits, whatever it had half done', async t => {
  const database = await testDatabase(t, { migrated: false })
  const slow: Migration = {
    id: 1,
    name: 'slow',
    sql: "-- no-transaction\ncreate sequence if not exists :schema.runs; select pg_sleep(60) where nextval('public.runs') = 1;",
  }
  const script = join(import.meta.dirname, 'migrate-process.ts')
  const child = spawn(
    process.execPath,
    [script, JSON.stringify({ target: database.directTarget(), migrations: [slow] })],
    {
      stdio: 'ignore',
    },
  )
  t.after(() => child.kill('SIGKILL'))
  await eventually(async () => (await database.db.rows(sleeping)).length > 0)
  const waits = Promise.withResolvers<void>()
  const successor = migrate(optionsFor(database, { migrations: [slow], onWait: waits.resolve }))
  await waits.promise
  const killedAt = performance.now()
  child.kill('SIGKILL')
  assert.deepEqual(await successor, { applied: [1] })
  assert.ok(performance.now() - killedAt < 30_000)
  const rows = await database.db.rows(
    sql`select last_value::int as runs, finished_at is not null as done from runs, migrations`,
  )
  assert.deepEqual(rows, [{ runs: 2, done: true }])
})

const sleeping = sql`select 1 from pg_stat_activity
  where datname = current_database() and state = 'active' and query like '%pg_sleep(60)%' and pid <> pg_backend_pid()`

test('a newer database, a changed file and a missing number are refused', async t => {
  const database = await testDatabase(t, { migrated: false })
  await migrate(optionsFor(database))
  await failure(
    optionsFor(database, { migrations: [first] }),
    'database_newer',
    /has migration 0002_second, this program \(1\.0\.0\) knows 1\. Start the newer version/,
  )
  const changed = { ...first, sql: `${first.sql} -- edited` }
  await failure(
    optionsFor(database, { migrations: [changed, second] }),
    'migration_changed',
    /0001_first was changed/,
  )
})

test('check only says what is missing', async t => {
  const database = await testDatabase(t, { migrated: false })
  const check = optionsFor(database, { mode: 'check' })
  await failure(check, 'database_behind', /lacks 2 migrations \(0001_first, 0002_second\).*postern migrate/)
  assert.deepEqual(await database.db.rows(sql`select to_regclass('public.migrations') as table`), [
    { table: null },
  ])
  await migrate(optionsFor(database))
  assert.deepEqual(await migrate(check), { applied: [] })
})

test('a role without the right to create is told so, and may use a database that is already migrated', async t => {
  const database = await testDatabase(t, { migrated: false })
  const { client } = await openConnection(database.adminTarget(), { applicationName: 'admin' })
  const limited = `limited_${database.directTarget().database}`
  try {
    await client.query(`create role ${limited} login password 'limited'`)
    const target = { ...database.directTarget(), user: limited, password: 'limited' }
    await failure(
      optionsFor(database, { target }),
      'not_permitted',
      /may not create .*AUTHENTIK_POSTGRESQL__DEFAULT_SCHEMA/,
    )
    await migrate(optionsFor(database))
    await client.query(`grant select on public.migrations to ${limited}`)
    assert.deepEqual(await migrate(optionsFor(database, { target })), { applied: [] })
    await client.query(`drop owned by ${limited}; drop role ${limited}`)
  } finally {
    await client.end()
  }
})

test('a database of another encoding is refused with the way to make the right one', async t => {
  const database = await testDatabase(t, { migrated: false })
  const name = `${database.directTarget().database}_latin1`
  const admin = await openConnection(database.adminTarget(), { applicationName: 'admin' })
  try {
    await admin.client.query(
      `create database ${name} encoding 'SQL_ASCII' locale 'C' locale_provider 'libc' template template0`,
    )
    const target = { ...database.adminTarget(), database: name }
    await failure(
      optionsFor(database, { target }),
      'server_unsupported',
      /encoding SQL_ASCII; Postern needs UTF8/,
    )
  } finally {
    await admin.client.query(`drop database if exists ${name}`)
    await admin.client.end()
  }
})

test('files are read by number, includes put in their place, gaps refused', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-migrations-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'shared.sql'), 'create table :schema.shared ();')
  writeFileSync(join(folder, '0001_a.sql'), 'select 1;\n-- include: shared.sql\nselect 2;')
  writeFileSync(join(folder, '0002_b_c.sql'), 'select 3')
  assert.deepEqual(await loadMigrations(folder), [
    { id: 1, name: 'a', sql: 'select 1;\ncreate table :schema.shared ();\nselect 2;' },
    { id: 2, name: 'b_c', sql: 'select 3' },
  ])
  writeFileSync(join(folder, '0004_d.sql'), 'select 4')
  await assert.rejects(loadMigrations(folder), /0004_d\.sql: number 3 was expected/)
})

test('no function of the migrated database sends notifications inside a business transaction', async t => {
  const database: TestDatabase = await testDatabase(t)
  const rows = await database.db.rows(sql`
    select proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname not in ('pg_catalog', 'information_schema') and prosrc ~* 'pg_notify\\s*\\(|(^|;|\\mthen|\\mbegin)\\s*notify\\s' and prolang <> 12 and prolang <> 13`)
  assert.deepEqual(rows, [])
})
