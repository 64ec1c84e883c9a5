// Sessions in PostgreSQL: one row per session, shared by all outposts and by Core, which deletes rows in the transaction
// that ends a login. The pool belongs to the caller.
import { errorText } from '../../log.ts'
import { isUnavailable, sqlstate } from '../../pg/errors.ts'
import type { PgPool } from '../../pg/pool.ts'
import { type SessionStore, StoreUnavailable } from './store.ts'
import * as statements from './store-postgres.sql.ts'

const batch = 1_000

/**
 * @param options.pool dialed connections; not closed by the store
 * @param options.schema unquoted name of the schema that holds `proxy_sessions`
 */
export function createPostgresStore(options: { pool: PgPool; schema: string }): SessionStore {
  const { pool, schema } = options
  const table = statements.sessionTable(schema)
  return {
    backend: 'postgres',
    prepare: async () => {
      try {
        await prepare(pool, schema)
      } catch (error) {
        if (isUnavailable(error)) throw unavailable(error)
        throw error // credentials, rights, a foreign table: waiting does not help
      }
    },
    load: keyHash => available(() => statements.loadSession(pool, table, keyHash)),
    live: async keyHashes =>
      keyHashes.length === 0 ? [] : available(() => statements.liveSessions(pool, table, keyHashes)),
    save: async record => {
      await available(() => statements.insertSession(pool, table, record))
    },
    deleteByKey: keyHash => available(() => statements.deleteByKey(pool, table, keyHash)),
    deleteBySid: sidHash => available(() => statements.deleteBySid(pool, table, sidHash)),
    deleteByUser: (userHash, clientId, createdBefore) =>
      available(() =>
        statements.deleteByUser(pool, table, userHash, clientId ?? null, createdBefore ?? null),
      ),
    deleteByProvider: (clientId, createdBefore) =>
      available(() => statements.deleteByProvider(pool, table, clientId, createdBefore ?? null)),
    deleteAll: () => available(() => statements.deleteEverything(pool, table)),
    cleanUp: () => available(() => cleanUp(pool, schema)),
    check: () => available(() => statements.probe(pool, table)),
    close: async () => {},
  }
}

async function prepare(pool: PgPool, schema: string): Promise<void> {
  const before = await statements.inspectTable(pool, schema)
  if (!before.tableExists) {
    if (!before.schemaExists)
      throw new Error(
        `schema "${schema}" does not exist in this database: create it or correct AUTHENTIK_POSTGRESQL__DEFAULT_SCHEMA`,
      )
    if (!before.mayUse || !before.mayCreate)
      throw new Error(
        `table proxy_sessions is missing in schema "${schema}" and role "${before.role}" may not create it: run "postern migrate" at Core, or: grant usage, create on schema "${schema}" to "${before.role}"`,
      )
    await create(pool, schema)
  }
  const state = before.tableExists ? before : await statements.inspectTable(pool, schema)
  if (state.missingColumns.length > 0)
    throw new Error(
      `table "${schema}".proxy_sessions lacks ${state.missingColumns.join(', ')}: it is not Postern's table, or older than this program; run "postern migrate" at Core`,
    )
  if (!state.mayUse)
    throw new Error(
      `role "${state.role}" may not use schema "${schema}": grant usage on schema "${schema}" to "${state.role}"`,
    )
  if (state.missingRights.length > 0) {
    const missing = state.missingRights.join(', ')
    throw new Error(
      `role "${state.role}" lacks ${missing} on "${schema}".proxy_sessions: grant ${missing.toLowerCase()} on "${schema}".proxy_sessions to "${state.role}"`,
    )
  }
}

async function create(pool: PgPool, schema: string): Promise<void> {
  try {
    await pool.transaction(async tx => {
      await statements.lockCreation(tx, schema)
      // Somebody may have made it while we waited; then another role may own it, and even `if not exists` would fail.
      if (!(await statements.inspectTable(tx, schema)).tableExists) await statements.createTable(tx, schema)
    })
  } catch (error) {
    // Core's migration creates the same table under its own lock: losing that race is success, if the table is there.
    if (!createdByAnother.has(sqlstate(error) ?? '')) throw error
  }
}

/** duplicate_table, duplicate_object, unique_violation in the catalogue */
const createdByAnother = new Set(['42P07', '42710', '23505'])

async function cleanUp(pool: PgPool, schema: string): Promise<number> {
  let deleted = 0
  for (;;) {
    const count = await statements.deleteExpired(pool, schema, batch)
    deleted += count
    if (count < batch) return deleted
  }
}

/** Class 22 (data) and 23 (constraint) mean that we asked wrongly; all else means that the data cannot be had now. */
async function available<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (/^2[23]/.test(sqlstate(error) ?? '')) throw error
    throw unavailable(error)
  }
}

function unavailable(error: unknown): StoreUnavailable {
  return new StoreUnavailable(`sessions in PostgreSQL cannot be reached: ${errorText(error)}`, {
    cause: error,
  })
}
