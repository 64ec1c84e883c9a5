import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { openConnection } from '../../src/pg/client.ts'
import { sql } from '../../src/pg/db.ts'
import { examine, type Patient } from '../../src/pg/doctor/examine.ts'
import type { Finding } from '../../src/pg/doctor/finding.ts'
import { planMigrations } from '../../src/pg/migration-plan.ts'
import { loadMigrations } from '../../src/pg/migrations.ts'
import { createPool } from '../../src/pg/pool.ts'
import type { PgTarget } from '../../src/pg/target.ts'
import { testDatabase } from '../postgres.ts'
import { startProgram } from '../programs.ts'
import { startPgBouncer, withoutPgBouncer } from './pgbouncer.ts'
import { startProcess } from './process.ts'

const migrations = await loadMigrations(join(import.meta.dirname, '../../migrations'))

async function findings(target: PgTarget, more: Partial<Patient> = {}): Promise<Record<string, Finding[]>> {
  const all = await examine({
    main: target,
    direct: target,
    replicas: [],
    schema: 'public',
    migrations,
    appVersion: 'test',
    idleSettings: [],
    ...more,
  })
  for (const { level, text, todo } of all) {
    assert.doesNotMatch(text, /\n|undefined|NaN/)
    assert.equal(todo !== undefined, level !== 'ok')
  }
  return Object.groupBy(all, finding => finding.check) as Record<string, Finding[]>
}

function levels(found: Record<string, Finding[]>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(found).map(([check, list]) => [check, list.map(one => one.level).join()]),
  )
}

async function asAdmin(t: TestContext, target: PgTarget) {
  const pool = createPool({ target: () => target, max: 1, applicationName: 'admin', log: silentLog })
  t.after(() => pool.close())
  return pool
}

test('of a healthy database it says so, in one line per check, and leaves nothing behind', async t => {
  const { directTarget: target, db } = await testDatabase(t)
  const before = await db.first(
    sql<{ n: string }>`select count(*) as n from pg_stat_activity where datname = current_database()`,
  )
  const found = await findings(target())
  const { durability, partitions, ...rest } = levels(found)
  assert.equal(durability, 'error') // the servers of tests run without fsync, and that it must see
  assert.match(partitions ?? '', /^warning/) // no worker has run
  assert.deepEqual(rest, {
    reachable: 'ok',
    version: 'ok',
    encoding: 'ok',
    tls: 'ok',
    pooler: 'ok',
    connections: 'ok',
    listen: 'ok',
    locks: 'ok,ok',
    clock: 'ok',
    migrations: 'ok',
    rights: 'ok',
    replication: 'ok',
    transactions: 'ok',
    bloat: 'ok',
    settings: 'ok',
  })
  const after = await db.first(
    sql<{ n: string }>`select count(*) as n from pg_stat_activity where datname = current_database()`,
  )
  assert.deepEqual(after, before)
  assert.deepEqual(await db.rows(sql`select 1 from pg_locks where locktype = 'advisory'`), [])
})

test('an empty database lacks migrations; the plan names them and that nothing in use is locked', async t => {
  const { directTarget: target } = await testDatabase(t, { migrated: false })
  const found = await findings(target())
  assert.equal(found.migrations?.[0]?.level, 'warning')
  assert.match(found.migrations?.[0]?.text ?? '', /^missing: 0001_platform, 0002_core/)
  const plan = await planMigrations({ target: target(), schema: 'public', migrations, appVersion: 'test' })
  assert.equal(plan.length, migrations.length)
  for (const planned of plan) assert.deepEqual(planned.locks, [], planned.title)
})

test('the plan agrees with the locks PostgreSQL really takes', async t => {
  const { directTarget: target, db } = await testDatabase(t)
  const text = `
    alter table :schema.sessions add column extra int;
    create index sessions_extra on :schema.sessions (extra);
    create index users_later on :schema.users (id);
    create table :schema.notes (id int primary key, user_id integer references :schema.groups (id));
    alter table :schema.notes add column more int;
    update :schema.leases set info = '{}';
    create trigger t before insert on :schema.tokens for each row execute function suppress_redundant_updates_trigger();`
  const groups = await db.first(sql<{ type: string }>`
    select format_type(atttypid, atttypmod) as type from pg_attribute where attrelid = 'groups'::regclass and attname = 'id'`)
  const migration = {
    id: migrations.length + 1,
    name: 'probe',
    sql: text.replace('user_id integer', `user_id ${groups?.type}`).replace('insert on', 'update on'),
  }
  const [planned] = await planMigrations({
    target: target(),
    schema: 'public',
    migrations: [...migrations, migration],
    appVersion: 'test',
  })
  const { client } = await openConnection(target(), { applicationName: 'really' })
  t.after(() => client.end())
  await client.query('begin')
  await client.query(migration.sql.replaceAll(':schema', 'public'))
  const { rows } = await client.query<{ name: string; mode: string }>(`
    select relname as name, mode from pg_locks join pg_class c on c.oid = relation
    where pid = pg_backend_pid() and relkind = 'r' and relnamespace = 'public'::regnamespace and relname <> 'notes'`)
  await client.query('rollback')
  const order = [
    'RowExclusiveLock',
    'ShareUpdateExclusiveLock',
    'ShareLock',
    'ShareRowExclusiveLock',
    'AccessExclusiveLock',
  ]
  const strongest = new Map<string, number>()
  for (const { name, mode } of rows)
    strongest.set(name, Math.max(strongest.get(name) ?? -1, order.indexOf(mode)))
  const real = [...strongest]
    .filter(([, at]) => at >= 0)
    .map(([name, at]) => [`public.${name}`, spaced(order[at] ?? '')])
  assert.deepEqual(
    new Map(planned?.locks.map(({ table, mode }) => [table, mode])),
    new Map(real as [string, string][]),
  )
  assert.equal(planned?.statements, 7)
})

test('each trouble is seen, with what to do', async t => {
  const { directTarget: target, adminTarget, db } = await testDatabase(t)
  const admin = await asAdmin(t, adminTarget())
  const name = target().database

  await admin.query('create role limited login password $$limited$$').catch(() => {})
  await admin.query('grant usage on schema public to limited; grant select on public.users to limited')
  const limited = await findings({ ...target(), user: 'limited', password: 'limited' })
  assert.match(
    limited.rights?.map(one => one.text).join('\n') ?? '',
    /lacks insert, update, delete on public\.users/,
  )
  assert.ok(limited.rights?.some(one => /postern migrate, and set POSTERN_MIGRATE=off/.test(one.todo ?? '')))
  await admin.query('drop owned by limited; drop role limited')

  const newer = await findings(target(), { migrations: migrations.slice(0, 2) })
  assert.match(newer.migrations?.[0]?.text ?? '', /the database is newer than this program/)

  const { client } = await openConnection(target(), { applicationName: 'sits there' })
  await client.query('begin; select 1')
  const holder = await findings(target())
  assert.equal(holder.transactions?.[0]?.level, 'ok') // not yet five minutes
  await client.query('rollback')
  await client.end()

  await db.rows(sql`create table swollen (id int) with (autovacuum_enabled = false)`)
  await db.rows(sql`insert into swollen select generate_series(1, 50000)`)
  await db.rows(sql`delete from swollen where id > 1000`)
  await admin.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}' and pid <> pg_backend_pid()`,
  )
  await db.rows(sql`insert into swollen values (1), (1)`, { retry: true }).catch(() => {})
  await db.rows(sql`create unique index concurrently broken on swollen (id)`).catch(() => {})
  const bloated = await findings(target())
  assert.match(bloated.bloat?.[0]?.text ?? '', /public\.swollen has 49000 dead rows/)
  assert.match(bloated.indexes?.[0]?.todo ?? '', /reindex index concurrently broken/)

  const away = await findings({ ...target(), hosts: [{ host: '/tmp/nobody-is-here', port: 5432 }] })
  assert.deepEqual(levels(away), { reachable: 'error', settings: 'ok' })
})

test('the arithmetic of connections counts living processes and names versions that differ', async t => {
  const { directTarget: target, db } = await testDatabase(t)
  const process = await startProcess(target, 'a', { intervalMs: 100 })
  t.after(() => process.close())
  await process.beat.now()
  await db.rows(
    sql`insert into nodes (id, name, kind, version) select gen_random_uuid(), 'x', 'server', '9' from generate_series(1, 30)`,
  )
  const found = await findings(target())
  assert.match(
    found.connections?.[0]?.text ?? '',
    /max_connections 200 - reserved 3 = 197, less 20 % reserve = 157; shared by 31 processes.*30 server, 1 test/,
  )
  assert.equal(found.connections?.[0]?.level, 'warning')
  assert.match(found.versions?.[0]?.text ?? '', /0, 9|9, 0/)
})

test('behind a transaction pooler it finds that messages and locks need the database itself', {
  skip: withoutPgBouncer,
}, async t => {
  const { directTarget: target } = await testDatabase(t)
  const bouncer = await startPgBouncer(target(), { mode: 'transaction' })
  t.after(() => bouncer.stop())
  const wrong = await findings(bouncer.target())
  assert.equal(wrong.pooler?.[0]?.level, 'error')
  assert.match(wrong.pooler?.[0]?.todo ?? '', /AUTHENTIK_POSTGRESQL__DIRECT__HOST/)
  assert.ok(wrong.locks?.some(one => one.level === 'error'))
  const right = await findings(bouncer.target(), { direct: target() })
  assert.deepEqual(
    [right.pooler, right.listen, right.locks].flat().map(one => one?.level),
    ['ok', 'ok', 'ok', 'ok', 'ok'],
  )
})

test('the command prints one line per finding or JSON, names leftover Redis settings, and its exit code tells of errors', async t => {
  const { directTarget: target } = await testDatabase(t)
  const to = target()
  const env = {
    AUTHENTIK_POSTGRESQL__HOST: to.hosts[0]?.host ?? '',
    AUTHENTIK_POSTGRESQL__PORT: String(to.hosts[0]?.port),
    AUTHENTIK_POSTGRESQL__NAME: to.database,
    AUTHENTIK_POSTGRESQL__USER: to.user,
    AUTHENTIK_POSTGRESQL__PASSWORD: to.password,
    AUTHENTIK_REDIS__HOST: 'redis',
    AUTHENTIK_LOG_LEVEL: 'error',
  }
  const program = startProgram(t, ['doctor'], env)
  assert.equal(await program.ended, 1) // fsync is off here
  const lines = program.output().trim().split('\n')
  assert.ok(
    lines.every(line => /^(ok|warning|error) +[a-z]+ +\S/.test(line) || line === lines.at(-1)),
    program.output(),
  )
  assert.ok(
    lines.some(line => /^warning +settings .*AUTHENTIK_REDIS__HOST → remove it$/.test(line)),
    program.output(),
  )
  assert.match(lines.at(-1) ?? '', /^1 errors, \d+ warnings$/)
  assert.ok(!program.output().includes(to.password))
  const json = startProgram(t, ['doctor', '--json'], env)
  assert.equal(await json.ended, 1)
  assert.ok(
    (JSON.parse(json.output()) as Finding[]).some(one => one.check === 'durability' && one.level === 'error'),
  )
  const plan = startProgram(t, ['migrate', '--plan'], env)
  assert.equal(await plan.ended, 0)
  assert.match(plan.output(), /up to date/)
  assert.equal(await startProgram(t, ['doctor', '--jsno'], env).ended, 2)
})

function spaced(mode: string): string {
  return mode
    .replace(/Lock$/, '')
    .replace(/(?<=[a-z])(?=[A-Z])/g, ' ')
    .toLowerCase()
}
