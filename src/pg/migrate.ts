// Brings a database to the state this program needs. Any number of processes may start at once: one migrates under a session lock
// on its own direct connection, the others look again and again without holding a snapshot (a blocking lock call would, and then
// `create index concurrently` in the migrating process waits for the waiting one).
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from 'pg'
import { errorText, type Log } from '../log.ts'
import { openConnection } from './client.ts'
import { isLockTimeout, sqlstate, sqlstates } from './errors.ts'
import { lockKey } from './lock-key.ts'
import { sessionLock, transactionLock } from './migrate-lock.ts'
import { checksum, type Migration, quoteName } from './migrations.ts'
import { splitSql } from './split-sql.ts'
import { describeTarget, type PgTarget } from './target.ts'
import { bossSchema } from './tasks/boss-schema.ts'

/**
 * - `database_newer`: it was migrated by a newer program
 * - `database_behind`: migrations are missing, and applying them was not asked for
 * - `migration_changed`: an applied migration is not the one this program has
 * - `server_unsupported`: version or encoding of the server
 * - `not_permitted`: schema or tables cannot be created by this role
 * - `migration_failed`: a migration's own statement failed
 */
export type MigrationErrorCode =
  | 'database_newer'
  | 'database_behind'
  | 'migration_changed'
  | 'server_unsupported'
  | 'not_permitted'
  | 'migration_failed'

export class MigrationError extends Error {
  readonly code: MigrationErrorCode
  constructor(code: MigrationErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'MigrationError'
    this.code = code
  }
}

export interface MigrateOptions {
  /** The database itself, not a transaction pooler (but see `withoutSession`). */
  target: PgTarget
  /** Our schema, unquoted; created when missing and permitted. */
  schema: string
  migrations: Migration[]
  appVersion: string
  log: Log
  /** `check` only says what is missing, by an error. */
  mode: 'apply' | 'check'
  /** Text for further placeholders `:name` in the files, beside `:schema` and `:pgboss`. */
  placeholders?: Record<string, string>
  /** `target` is a transaction pooler, and there is no other way: nothing is kept in the session. */
  withoutSession?: boolean
  /** Called once when another process is found migrating. */
  onWait?: () => void
}

/** A row of the table of migrations. */
export interface Applied {
  id: number
  name: string
  checksum: string
  finished: boolean
}

const lockTries = 20

/**
 * Applies what is missing, each file in a transaction of its own; a file whose first line is `-- no-transaction` runs statement by
 * statement outside one, and again from its start after a crash, so it must be repeatable.
 * @returns ids applied by this call
 * @throws MigrationError, or PgError when the database cannot be reached
 */
export async function migrate(options: MigrateOptions): Promise<{ applied: number[] }> {
  const connection = await openConnection(options.target, { applicationName: 'postern-migrate' })
  const { client } = connection
  try {
    const missing = pending(options, await readApplied(client, options.schema))
    if (missing.length === 0) return { applied: [] }
    await checkServer(client, options.target)
    if (options.mode === 'check') {
      const names = missing.map(migrationTitle).join(', ')
      throw new MigrationError(
        'database_behind',
        `the database lacks ${missing.length} migrations (${names}). Run: postern migrate`,
      )
    }
    return { applied: await applyUnderLock(client, options) }
  } finally {
    await client.end().catch(() => {})
  }
}

async function checkServer(client: Client, target: PgTarget): Promise<void> {
  const { rows } = await client.query<{ version: string; number: number; encoding: string }>(
    `select current_setting('server_version') as version, current_setting('server_version_num')::int as number,
            current_setting('server_encoding') as encoding`,
  )
  const server = rows[0]
  if (server === undefined || server.number < 150_000) {
    const text = `PostgreSQL ${server?.version} at ${describeTarget(target)} is too old; Postern needs version 15 or newer.`
    throw new MigrationError('server_unsupported', text)
  }
  if (server.encoding !== 'UTF8') {
    const text = `database "${target.database}" has the encoding ${server.encoding}; Postern needs UTF8. Create it with: create database … encoding 'UTF8' template template0`
    throw new MigrationError('server_unsupported', text)
  }
}

/** What the database has been through; nothing when it has no table of migrations. */
export async function readApplied(client: Client, schema: string): Promise<Applied[]> {
  try {
    const { rows } = await client.query<Applied>(
      `select id, name, checksum, finished_at is not null as finished from ${quoteName(schema)}.migrations order by id`,
    )
    return rows
  } catch (error) {
    const state = sqlstate(error)
    if (state === sqlstates.undefinedTable || state === sqlstates.invalidSchemaName) return []
    throw error
  }
}

/** What is left to do. @throws MigrationError when database and program do not fit */
export function pending(
  options: Pick<MigrateOptions, 'migrations' | 'appVersion'>,
  applied: Applied[],
): Migration[] {
  const known = new Map(options.migrations.map(migration => [migration.id, migration]))
  for (const row of applied) {
    const migration = known.get(row.id)
    if (migration === undefined) {
      const text = `the database is newer than this program: it has migration ${number(row.id)}_${row.name}, this program (${options.appVersion}) knows ${options.migrations.length}. Start the newer version.`
      throw new MigrationError('database_newer', text)
    }
    if (row.checksum !== checksum(migration)) {
      const text = `migration ${migrationTitle(migration)} was changed after it had been applied to this database. Restore the file; changes need a new migration.`
      throw new MigrationError('migration_changed', text)
    }
  }
  const done = new Set(applied.filter(row => row.finished).map(row => row.id))
  return options.migrations.filter(migration => !done.has(migration.id))
}

async function applyUnderLock(client: Client, options: MigrateOptions): Promise<number[]> {
  const { schema, log } = options
  const key = lockKey(schema, 'migrate')
  const lock =
    options.withoutSession === true ? await transactionLock(options.target, key) : sessionLock(client, key)
  let told = false
  try {
    while (!(await lock.tryTake())) {
      if (!told) {
        told = true
        log.info('waiting for another process that migrates the database')
        options.onWait?.()
      }
      await sleep(200 + Math.random() * 100)
      if (pending(options, await readApplied(client, schema)).length === 0) return []
    }
    await createTable(client, schema)
    const missing = pending(options, await readApplied(client, schema))
    for (const migration of missing) {
      await lock.check()
      log.info('applying migration', { migration: migrationTitle(migration) })
      await apply(client, migration, options)
    }
    return missing.map(migration => migration.id)
  } finally {
    await lock.release()
  }
}

/** Asks before it creates: a role without the right to create may use what is there. */
async function createTable(client: Client, schema: string): Promise<void> {
  const { rows } = await client.query<{ schema: boolean; table: boolean }>(
    `select to_regnamespace($1) is not null as schema, to_regclass($2) is not null as table`,
    [quoteName(schema), `${quoteName(schema)}.migrations`],
  )
  try {
    if (rows[0]?.schema !== true) await client.query(`create schema ${quoteName(schema)}`)
    if (rows[0]?.table !== true) {
      await client.query(`create table ${quoteName(schema)}.migrations (
        id int primary key, name text not null, checksum text not null,
        started_at timestamptz not null default now(), finished_at timestamptz, app_version text not null)`)
    }
  } catch (error) {
    if (sqlstate(error) !== sqlstates.insufficientPrivilege) throw error
    const text = `the role may not create schema or tables in "${schema}": ${errorText(error)}. Grant it CREATE there (AUTHENTIK_POSTGRESQL__USER, AUTHENTIK_POSTGRESQL__DEFAULT_SCHEMA).`
    throw new MigrationError('not_permitted', text, { cause: error })
  }
}

async function apply(client: Client, migration: Migration, options: MigrateOptions): Promise<void> {
  const text = migrationText(migration, options)
  const table = `${quoteName(options.schema)}.migrations`
  const row = [migration.id, migration.name, checksum(migration), options.appVersion]
  const start = `insert into ${table} (id, name, checksum, app_version) values ($1, $2, $3, $4)
    on conflict (id) do update set started_at = now(), app_version = excluded.app_version`
  const finish = `update ${table} set finished_at = clock_timestamp() where id = $1`
  try {
    if (/^-- no-transaction\b/.test(migration.sql)) {
      await client.query(start, row)
      for (const statement of splitSql(text)) await client.query(statement)
      await client.query(finish, [migration.id])
      return
    }
    await inTransaction(client, migration, options.log, async () => {
      await client.query(start, row)
      await client.query(text)
      await client.query(finish, [migration.id])
    })
  } catch (error) {
    throw new MigrationError(
      'migration_failed',
      `migration ${migrationTitle(migration)} failed: ${errorText(error)}`,
      { cause: error },
    )
  }
}

/** A lock that is not granted soon is asked for again later, so that a long reader never makes everybody queue behind us. */
async function inTransaction(
  client: Client,
  migration: Migration,
  log: Log,
  work: () => Promise<void>,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await client.query("begin; set local lock_timeout = '3s'")
      await work()
      await client.query('commit')
      return
    } catch (error) {
      await client.query('rollback').catch(() => {})
      if (!isLockTimeout(error) || attempt === lockTries) throw error
      log.warning('migration waits for a lock', { migration: migrationTitle(migration), attempt })
      await sleep(Math.min(5000, 100 * 2 ** attempt) * (0.5 + Math.random() / 2))
    }
  }
}

/** What is sent to the server: the file with its placeholders filled in. */
export function migrationText(
  migration: Migration,
  options: Pick<MigrateOptions, 'schema' | 'placeholders'>,
): string {
  const placeholders: Record<string, string> = {
    schema: quoteName(options.schema),
    pgboss: bossSchema(options.schema),
    ...options.placeholders,
  }
  return migration.sql.replace(/(?<![:\w]):([a-z_]+)\b/g, (all, name: string) => placeholders[name] ?? all)
}

/** `0001_platform` */
export function migrationTitle(migration: Migration): string {
  return `${number(migration.id)}_${migration.name}`
}

function number(id: number): string {
  return String(id).padStart(4, '0')
}
