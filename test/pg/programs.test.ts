import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { PgTarget } from '../../src/pg/target.ts'
import { testDatabase } from '../postgres.ts'
import { startProgram } from '../programs.ts'
import { startPgBouncer, withoutPgBouncer } from './pgbouncer.ts'

function environment(main: PgTarget, direct?: PgTarget): Record<string, string> {
  const [at] = main.hosts
  return {
    AUTHENTIK_POSTGRESQL__HOST: at?.host ?? '',
    AUTHENTIK_POSTGRESQL__PORT: String(at?.port),
    AUTHENTIK_POSTGRESQL__NAME: main.database,
    AUTHENTIK_POSTGRESQL__USER: main.user,
    AUTHENTIK_POSTGRESQL__PASSWORD: main.password,
    ...(direct === undefined
      ? {}
      : {
          AUTHENTIK_POSTGRESQL__DIRECT__HOST: direct.hosts[0]?.host ?? '',
          AUTHENTIK_POSTGRESQL__DIRECT__PORT: String(direct.hosts[0]?.port),
        }),
    AUTHENTIK_SECRET_KEY: 'kP9vQ2xW7zR4tY6uI8oA1sD3fG5hJ0lZ',
    POSTERN_BASE_URL: 'http://localhost:9000',
    AUTHENTIK_LISTEN__HTTP: '127.0.0.1:0',
    AUTHENTIK_LISTEN__HTTPS: '',
    AUTHENTIK_LISTEN__METRICS: '127.0.0.1:0',
  }
}

async function behindBouncer(t: TestContext) {
  const database = await testDatabase(t, { migrated: false })
  const bouncer = await startPgBouncer(database.directTarget(), { mode: 'transaction' })
  t.after(() => bouncer.stop())
  return { database, direct: database.directTarget(), main: bouncer.target() }
}

test('the server refuses to start behind a transaction pooler alone, in one line, and has changed nothing', {
  skip: withoutPgBouncer,
}, async t => {
  const { database, main } = await behindBouncer(t)
  const program = startProgram(t, ['server'], environment(main))
  assert.equal(await program.ended, 1)
  const errors = program
    .output()
    .split('\n')
    .filter(line => line.includes('"level":"error"'))
  assert.equal(errors.length, 1)
  assert.match(
    errors[0] ?? '',
    /is a transaction pooler .*Set AUTHENTIK_POSTGRESQL__DIRECT__HOST to the database itself/,
  )
  const { rows } = await database.pool.query(
    "select 1 from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' and relname <> 'pg_stat_statements'",
  )
  assert.deepEqual(rows, [])
})

test('with the database itself named as well it starts, keeps nothing in a session of the pooler, and shows its figures', {
  skip: withoutPgBouncer,
}, async t => {
  const { database, main, direct } = await behindBouncer(t)
  const program = startProgram(t, ['server'], environment(main, direct))
  const [, metrics] = await program.matches(/"listen":"([^"]+)"[^\n]*Starting metrics server/)
  await program.matches(/server is ready/)
  const text = await (await fetch(`http://${metrics}/metrics`)).text()
  for (const line of [
    /^authentik_db_pool_max 10$/m,
    /^authentik_bus_healthy 1$/m,
    /^authentik_db_connection_budget\{part="granted"\} 10$/m,
    /^authentik_db_connections\{application_name="postern\/server\/[^"]+\/direct",/m,
  ])
    assert.match(text, line)
  const health = await fetch(`http://${metrics}/-/health/ready/`)
  assert.equal(health.status, 200)
  const { checks, facts } = (await health.json()) as Record<'checks' | 'facts', Record<string, string>>
  for (const name of ['database', 'schema', 'bus', 'outpost_configuration'])
    assert.equal(checks[name], 'ok', JSON.stringify(checks))
  assert.match(
    facts.connections ?? '',
    /^max_connections \d+ - reserved \d+ = \d+, less 20 % reserve = \d+; shared by 1 processes, .* wanted 10, pool 10$/,
  )
  const { rows } = await database.pool.query<{ locks: string }>(
    "select count(*) as locks from pg_locks where locktype = 'advisory'",
  )
  assert.deepEqual(rows, [{ locks: '0' }])
  assert.equal(await program.stop(), 0)
})
