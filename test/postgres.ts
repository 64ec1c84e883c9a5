// PostgreSQL for tests: one embedded server per run (or per test file, when a file is run alone), a database per test from a
// migrated template. Databases are dropped when the file ends; a connection still open then fails the file.
import { createHash, randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from 'pg'
import { silentLog } from '../src/log.ts'
import { openConnection } from '../src/pg/client.ts'
import { createDb, type Db } from '../src/pg/db.ts'
import { startEmbeddedPostgres } from '../src/pg/embedded.ts'
import { migrate } from '../src/pg/migrate.ts'
import { checksum, loadMigrations } from '../src/pg/migrations.ts'
import { createPool, type PgPool } from '../src/pg/pool.ts'
import type { PgTarget } from '../src/pg/target.ts'
import { startPgBouncer, withoutPgBouncer } from './pg/pgbouncer.ts'
import { type ServerOfRun, serverOfRun } from './pg/straight.ts'

const migrationsFolder = join(import.meta.dirname, '../migrations')
const role = { user: 'postern_test', password: 'postern-test' }

export interface TestServer extends ServerOfRun {
  /** Value of POSTERN_TEST_POSTGRES for test processes that shall use this server. */
  env: string
  stop(): Promise<void>
}

/**
 * Folder of another PostgreSQL than npm's, by POSTERN_TEST_PG_BIN (e.g. /usr/lib/postgresql/15/bin, from Debian's postgresql-15),
 * so that any test runs against that version.
 */
export function testProgram(): { program: string } | undefined {
  const bin = process.env.POSTERN_TEST_PG_BIN
  return bin === undefined || bin === '' ? undefined : { program: dirname(bin.replace(/\/+$/, '')) }
}

/** True when POSTERN_TEST_POOLER=pgbouncer puts a transaction pooler in front of every pool. */
function withPooler(): boolean {
  const said = process.env.POSTERN_TEST_POOLER ?? ''
  if (said === '') return false
  if (said !== 'pgbouncer') throw new Error(`POSTERN_TEST_POOLER=${said}: known is only "pgbouncer"`)
  if (withoutPgBouncer !== false) throw new Error(`POSTERN_TEST_POOLER=pgbouncer ${withoutPgBouncer}`)
  return true
}

/**
 * The server of this run: the one named by POSTERN_TEST_POSTGRES, else a new one in a folder of its own, without fsync.
 * `stop` ends only what this call started.
 */
export async function startTestServer(): Promise<TestServer> {
  const given = serverOfRun()
  if (given !== undefined) return { ...given, env: JSON.stringify(given), stop: async () => {} }
  const pooled = withPooler()
  const dataDir = await mkdtemp(join(tmpdir(), 'postern-test-'))
  await chmod(dataDir, 0o755)
  const server = await startEmbeddedPostgres({
    dataDir,
    log: silentLog,
    maxConnections: 200,
    endWithUs: true,
    ...testProgram(),
    settings: {
      fsync: 'off',
      full_page_writes: 'off',
      synchronous_commit: 'off',
      shared_preload_libraries: 'pg_stat_statements',
      'pg_stat_statements.max': '20000',
    },
  })
  const admin = server.adminTarget
  const bouncer = pooled
    ? await startPgBouncer(admin, { mode: 'transaction', poolSize: 20, everybody: true, known: [role] })
    : undefined
  const run: ServerOfRun = { admin, ...(bouncer === undefined ? {} : { pooler: bouncer.target().hosts[0]! }) }
  return {
    ...run,
    env: JSON.stringify(run),
    async stop() {
      await bouncer?.stop()
      await server.destroy()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

export interface TestDatabase {
  /** As an ordinary role that owns the database; through the pooler, where the run has one. */
  target(): PgTarget
  /** The same without a pooler: what a program's direct connection needs, and a test whose subject is the connection. */
  directTarget(): PgTarget
  /** The same database as superuser. */
  adminTarget(): PgTarget
  schema: string
  pool: PgPool
  db: Db
  /**
   * Texts (normalised, `$1` for constants) of the statements that ran in this database while `work` did, once per execution,
   * in no order; begin, commit, rollback, savepoints and `set local` are left out.
   */
  countStatements(work: () => Promise<unknown>): Promise<string[]>
}

/**
 * A database of its own for a test.
 * @param options.migrated false = empty. Default true: all files of migrations/ applied
 */
export async function testDatabase(
  t: TestContext,
  options: { migrated?: boolean } = {},
): Promise<TestDatabase> {
  const server = await sharedServer()
  const name = `test_${randomBytes(6).toString('hex')}`
  await withAdmin(server.admin, async client => {
    const template = options.migrated === false ? 'template1' : await ensureTemplate(client, server.admin)
    await client.query(`create database ${name} template ${template} owner ${role.user}`)
  })
  const directTarget = (): PgTarget => ({ ...server.admin, ...role, database: name })
  const { pooler } = server
  const target = () => (pooler === undefined ? directTarget() : { ...directTarget(), hosts: [pooler] })
  const adminTarget = (): PgTarget => ({ ...server.admin, database: name })
  const pool = createPool({
    target,
    max: 10,
    applicationName: `test: ${t.name}`.slice(0, 60),
    log: silentLog,
  })
  const db = createDb({ pool, schema: 'public', log: silentLog })
  opened.push({ name, title: t.name, close: () => pool.close() })
  return {
    target,
    directTarget,
    adminTarget,
    schema: 'public',
    pool,
    db,
    countStatements: work => countStatements(server.admin, name, work),
  }
}

let shared: Promise<TestServer> | undefined
const opened: { name: string; title: string; close: () => Promise<void> }[] = []

async function sharedServer(): Promise<TestServer> {
  shared ??= startTestServer().then(async server => {
    await withAdmin(server.admin, prepareServer)
    process.env.POSTERN_TEST_POSTGRES = server.env
    return server
  })
  return await shared
}

after(async () => {
  if (shared === undefined) return
  const server = await shared
  const leaks: string[] = []
  try {
    for (const { close } of opened) await close()
    await withAdmin(server.admin, async client => {
      for (const { name, title } of opened) {
        for (const left of await openSessions(client, server, name)) leaks.push(`"${title}": ${left}`)
        await client.query(`drop database if exists ${name} with (force)`)
      }
    })
  } finally {
    await server.stop()
  }
  if (leaks.length > 0) throw new Error(`connections were left open by ${leaks.join(', ')}`)
})

/** Sessions of a database that do not end by themselves in time; the pooler keeps some, which are its own. */
async function openSessions(client: Client, { admin, pooler }: ServerOfRun, name: string): Promise<string[]> {
  const until = Date.now() + 20_000
  for (;;) {
    const { rows } = await client.query<{ pid: number; application_name: string }>(
      "select pid, application_name from pg_stat_activity where datname = $1 and backend_type = 'client backend'",
      [name],
    )
    const at = pooler === undefined ? undefined : await clientsOf({ ...admin, hosts: [pooler] }, name)
    const left = rows.filter(({ pid }) => at?.backends.has(pid) !== true).map(row => row.application_name)
    left.push(...(at?.clients ?? []))
    if (left.length === 0 || Date.now() > until) return left
    await sleep(20)
  }
}

/** Who is connected to a database through the pooler, and the pooler's own backends. */
async function clientsOf(
  console: PgTarget,
  name: string,
): Promise<{ clients: string[]; backends: Set<number> }> {
  return await withAdmin({ ...console, database: 'pgbouncer' }, async client => {
    const { rows: clients } = await client.query<{ database: string; application_name: string }>(
      'show clients',
    )
    const { rows: servers } = await client.query<{ remote_pid: number }>('show servers')
    return {
      clients: clients.filter(row => row.database === name).map(row => row.application_name),
      backends: new Set(servers.map(row => Number(row.remote_pid))),
    }
  })
}

async function withAdmin<T>(admin: PgTarget, work: (client: Client) => Promise<T>): Promise<T> {
  const { client } = await openConnection(admin, { applicationName: 'test harness' })
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** Several test files start at once on one server: one of them prepares it. */
async function underLock(client: Client, work: () => Promise<void>): Promise<void> {
  await client.query('select pg_advisory_lock(7431)')
  try {
    await work()
  } finally {
    await client.query('select pg_advisory_unlock(7431)')
  }
}

async function prepareServer(client: Client): Promise<void> {
  await underLock(client, async () => {
    await client.query('create extension if not exists pg_stat_statements')
    const { rowCount } = await client.query('select 1 from pg_roles where rolname = $1', [role.user])
    if (rowCount === 0)
      await client.query(`create role ${role.user} login createdb password '${role.password}'`)
  })
}

/** Name of the migrated template; another one for every state of migrations/. */
async function ensureTemplate(client: Client, admin: PgTarget): Promise<string> {
  const migrations = await loadMigrations(migrationsFolder)
  const state = createHash('sha256').update(migrations.map(checksum).join('\n')).digest('hex')
  const template = `template_${state.slice(0, 16)}`
  await underLock(client, async () => {
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [template])
    if (rowCount !== 0) return
    const building = `${template}_building`
    await client.query(`drop database if exists ${building} with (force)`)
    await client.query(`create database ${building} owner ${role.user}`)
    await migrate({
      target: { ...admin, ...role, database: building },
      schema: 'public',
      migrations,
      appVersion: 'test',
      log: silentLog,
      mode: 'apply',
    })
    await client.query(`alter database ${building} rename to ${template}`)
  })
  return template
}

async function countStatements(
  admin: PgTarget,
  name: string,
  work: () => Promise<unknown>,
): Promise<string[]> {
  return await withAdmin(admin, async client => {
    const before = await calls(client, name)
    await work()
    const texts: string[] = []
    for (const [id, { text, count }] of await calls(client, name)) {
      const times = count - (before.get(id)?.count ?? 0)
      if (!isFrame(text)) texts.push(...Array.from({ length: times }, () => text))
    }
    return texts
  })
}

function isFrame(text: string): boolean {
  if (/^\s*(begin|start transaction|commit|rollback|savepoint|release|set local)\b/i.test(text)) return true
  // A pooler's own: it asks for the password of who comes in, and sets the name of each client on the backend it lends.
  return /^\s*(set application_name\b|select usename, passwd from pg_shadow\b)/i.test(text)
}

async function calls(client: Client, name: string): Promise<Map<string, { text: string; count: number }>> {
  const { rows } = await client.query<{ id: string; text: string; count: number }>(
    `select concat_ws('.', s.userid, s.queryid, s.toplevel) as id, s.query as text, s.calls::int as count
     from pg_stat_statements s join pg_database d on d.oid = s.dbid where d.datname = $1`,
    [name],
  )
  return new Map(rows.map(row => [row.id, row]))
}
