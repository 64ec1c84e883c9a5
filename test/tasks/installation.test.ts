import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { PgBoss } from 'pg-boss'
import { silentLog } from '../../src/log.ts'
import { sql } from '../../src/pg/db.ts'
import { migrate } from '../../src/pg/migrate.ts'
import { loadMigrations } from '../../src/pg/migrations.ts'
import { queues } from '../../src/pg/tasks/actor.ts'
import { bossDatabase } from '../../src/pg/tasks/boss.ts'
import { bossSchema } from '../../src/pg/tasks/boss-schema.ts'
import { installationSql } from '../../src/pg/tasks/installation.ts'
import { eventually } from '../pg/eventually.ts'
import { testDatabase } from '../postgres.ts'
import { noting } from './engine.ts'
import { startTaskProcess } from './process.ts'

test('the migration holds the tables of the pg-boss that is installed', async () => {
  const committed = await readFile(join(import.meta.dirname, '../../migrations/pgboss.sql'), 'utf8')
  assert.equal(
    committed,
    installationSql(),
    'pg-boss has other tables now: add a migration with the statements of its getMigrationPlans, and adapt this test',
  )
})

test('pg-boss finds nothing missing and nothing different in what the migration made', async t => {
  const { db } = await testDatabase(t)
  const boss = new PgBoss({
    db: bossDatabase(db),
    schema: 'pgboss',
    migrate: false,
    supervise: false,
    schedule: false,
  })
  const report = await boss.detectSchemaDrift()
  assert.equal(report.ok, true, JSON.stringify(report))
  const rows = await db.rows(
    sql<{
      name: string
      policy: string
      notify: boolean
    }>`select name, policy, notify from pgboss.queue order by name`,
  )
  assert.deepEqual(
    rows,
    [...queues].sort().map(name => ({ name, policy: 'short', notify: false })),
  )
})

test('every schema of ours has one of pg-boss, whose name needs no quotes', () => {
  assert.equal(bossSchema('public'), 'pgboss')
  assert.equal(bossSchema('identity'), 'identity_pgboss')
  for (const schema of ['My Schema', 'x'.repeat(63), 'ünïcode', '"', 'a-b']) {
    assert.match(bossSchema(schema), /^pgboss_[0-9a-f]{24}$/)
  }
})

test('in a schema of another name tasks live beside it, and work', async t => {
  const database = await testDatabase(t, { migrated: false })
  await migrate({
    target: database.target(),
    schema: 'identity',
    migrations: await loadMigrations(join(import.meta.dirname, '../../migrations')),
    appVersion: 'test',
    log: silentLog,
    mode: 'apply',
  })
  const { actor, seen } = noting()
  const running = await startTaskProcess(database.target, [actor], { schema: 'identity' })
  t.after(() => running.close())
  await running.db.transaction(tx => running.tasks.enqueue(tx, 'note', { text: 'x' }))
  await eventually(async () => (await running.db.rows(sql`select 1 from identity.task_runs`)).length === 1)
  assert.equal(seen.length, 1)
  const rows = await running.db.rows(sql`select nspname from pg_namespace where nspname like '%pgboss%'`)
  assert.deepEqual(rows, [{ nspname: 'identity_pgboss' }])
})
