// Statements on `proxy_sessions`. They need SELECT, INSERT and DELETE on that table and nothing else, so that an outpost's
// role can be held to it; `table` is the qualified, quoted name from `sessionTable`.
import { readFile } from 'node:fs/promises'
import { lockKey } from '../../pg/lock-key.ts'
import type { PgStatement } from '../../pg/pool.ts'
import { splitSql } from '../../pg/split-sql.ts'
import type { SessionRecord } from './store.ts'

// Every statement here may run twice without harm, so one that meets a connection the server has dropped is tried again.
const short = { deadlineMs: 2_000, retry: true }
/** For statements that touch as many rows as there are users. */
const long = { deadlineMs: 10_000, retry: true }

/** @param schema unquoted name @returns `"schema"."proxy_sessions"` */
export function sessionTable(schema: string): string {
  return `${quoted(schema)}."proxy_sessions"`
}

interface SessionRow {
  key_hash: Buffer
  client_id: string
  sid_hash: Buffer | null
  user_hash: Buffer
  sealed: Buffer
  created_ms: number
  expires_ms: number
}

/** One read by primary key. Times travel as milliseconds, so that no type parser of the pool matters. */
export async function loadSession(
  db: PgStatement,
  table: string,
  keyHash: Buffer,
): Promise<SessionRecord | null> {
  const { rows } = await db.query<SessionRow>(
    `select key_hash, client_id, sid_hash, user_hash, sealed,
            floor(extract(epoch from created_at) * 1000)::float8 as created_ms,
            floor(extract(epoch from expires_at) * 1000)::float8 as expires_ms
       from ${table} where key_hash = $1 and expires_at > now()`,
    [keyHash],
    short,
  )
  const row = rows[0]
  // `infinity` is a time to PostgreSQL and none to us: nobody's session lives for ever.
  if (row === undefined || !isTime(row.created_ms) || !isTime(row.expires_ms)) return null
  return {
    keyHash: row.key_hash,
    clientId: row.client_id,
    sidHash: row.sid_hash,
    userHash: row.user_hash,
    sealed: row.sealed,
    createdAt: new Date(row.created_ms),
    expiresAt: new Date(row.expires_ms),
  }
}

export async function liveSessions(db: PgStatement, table: string, keyHashes: Buffer[]): Promise<Buffer[]> {
  const { rows } = await db.query<{ key_hash: Buffer }>(
    `select key_hash from ${table} where key_hash = any($1::bytea[]) and expires_at > now()`,
    [keyHashes],
    short,
  )
  return rows.map(row => row.key_hash)
}

/** A second insert of the same key (a retry, a second import) changes nothing. */
export async function insertSession(db: PgStatement, table: string, record: SessionRecord): Promise<number> {
  const { rowCount } = await db.query(
    `insert into ${table} (key_hash, client_id, sid_hash, user_hash, sealed, created_at, expires_at)
     values ($1, $2, $3, $4, $5, $6::timestamptz, $7::timestamptz) on conflict (key_hash) do nothing`,
    [
      record.keyHash,
      record.clientId,
      record.sidHash,
      record.userHash,
      record.sealed,
      record.createdAt.toISOString(),
      record.expiresAt.toISOString(),
    ],
    short,
  )
  return rowCount
}

export async function deleteByKey(db: PgStatement, table: string, keyHash: Buffer): Promise<number> {
  return (await db.query(`delete from ${table} where key_hash = $1`, [keyHash], short)).rowCount
}

export async function deleteBySid(db: PgStatement, table: string, sidHash: Buffer): Promise<number> {
  return (await db.query(`delete from ${table} where sid_hash = $1`, [sidHash], short)).rowCount
}

/**
 * @param clientId null: at every provider
 * @param createdBefore null: whenever they were made
 */
export async function deleteByUser(
  db: PgStatement,
  table: string,
  userHash: Buffer,
  clientId: string | null,
  createdBefore: Date | null,
): Promise<number> {
  const { rowCount } = await db.query(
    `delete from ${table} where user_hash = $1 and ($2::text is null or client_id = $2)
        and ($3::timestamptz is null or created_at <= $3::timestamptz)`,
    [userHash, clientId, createdBefore?.toISOString() ?? null],
    short,
  )
  return rowCount
}

/** @param createdBefore null: whenever they were made */
export async function deleteByProvider(
  db: PgStatement,
  table: string,
  clientId: string,
  createdBefore: Date | null,
): Promise<number> {
  const { rowCount } = await db.query(
    `delete from ${table} where client_id = $1 and ($2::timestamptz is null or created_at <= $2::timestamptz)`,
    [clientId, createdBefore?.toISOString() ?? null],
    long,
  )
  return rowCount
}

export async function deleteEverything(db: PgStatement, table: string): Promise<number> {
  return (await db.query(`delete from ${table}`, [], long)).rowCount
}

/**
 * Deletes at most `batch` expired rows. The lock ends with the statement; who does not get it deletes nothing, so any
 * number of processes may do this at once. No row locks are asked for: they would need the right to UPDATE.
 */
export async function deleteExpired(db: PgStatement, schema: string, batch: number): Promise<number> {
  const table = sessionTable(schema)
  const { rowCount } = await db.query(
    `with turn as materialized (select pg_try_advisory_xact_lock($1::bigint) as ours),
          expired as materialized (
            select s.key_hash from ${table} s, turn
             where turn.ours and s.expires_at <= now() order by s.expires_at limit $2)
     delete from ${table} s using expired where s.key_hash = expired.key_hash`,
    [lockKey(schema, 'proxy_sessions_sweep'), batch],
    long,
  )
  return rowCount
}

/** Asks for the table itself, not only for the server. */
export async function probe(db: PgStatement, table: string): Promise<void> {
  await db.query(`select 1 from ${table} where false`, [], short)
}

/** What `prepare` has to know before it touches anything; readable for every role. */
export interface TableState {
  role: string
  schemaExists: boolean
  mayUse: boolean
  mayCreate: boolean
  tableExists: boolean
  missingColumns: string[]
  missingRights: string[]
}

export async function inspectTable(db: PgStatement, schema: string): Promise<TableState> {
  const { rows } = await db.query<{
    role: string
    schema_oid: number | null
    may_use: boolean | null
    may_create: boolean | null
    table_oid: number | null
    missing_columns: string
    missing_rights: string
  }>(
    `select current_user::text as role, n.oid as schema_oid, c.oid as table_oid,
            has_schema_privilege(n.oid, 'USAGE') as may_use, has_schema_privilege(n.oid, 'CREATE') as may_create,
            (select coalesce(string_agg(w.name, ', ' order by w.at), '') from unnest($2::text[]) with ordinality as w(name, at)
              where not exists (select 1 from pg_catalog.pg_attribute a
                                 where a.attrelid = c.oid and a.attname = w.name and not a.attisdropped)) as missing_columns,
            (select coalesce(string_agg(w.name, ', ' order by w.at), '') from unnest($3::text[]) with ordinality as w(name, at)
              where not has_table_privilege(c.oid, w.name)) as missing_rights
       from (select 1) as one
       left join pg_catalog.pg_namespace n on n.nspname = $1
       left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = 'proxy_sessions' and c.relkind in ('r', 'p')`,
    [schema, columns, rights],
    short,
  )
  const row = rows[0]!
  return {
    role: row.role,
    schemaExists: row.schema_oid !== null,
    mayUse: row.may_use === true,
    mayCreate: row.may_create === true,
    tableExists: row.table_oid !== null,
    missingColumns: list(row.missing_columns),
    missingRights: list(row.missing_rights),
  }
}

const columns = ['key_hash', 'client_id', 'sid_hash', 'user_hash', 'sealed', 'created_at', 'expires_at']
const rights = ['SELECT', 'INSERT', 'DELETE']

/** Waits for whoever creates the table right now. Only inside a transaction, whose end releases it. */
export async function lockCreation(tx: PgStatement, schema: string): Promise<void> {
  await tx.query('select pg_advisory_xact_lock($1::bigint)', [lockKey(schema, 'proxy_sessions_table')])
}

/** Runs the one SQL file that describes the table, statement by statement. */
export async function createTable(tx: PgStatement, schema: string): Promise<void> {
  const text = await readFile(new URL('../../../migrations/proxy_sessions.sql', import.meta.url), 'utf8')
  const code = text.replaceAll(/^\s*--.*$/gm, '').replaceAll(':schema', () => quoted(schema))
  for (const statement of splitSql(code)) await tx.query(statement)
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function list(text: string): string[] {
  return text === '' ? [] : text.split(', ')
}

function isTime(milliseconds: number): boolean {
  return Number.isFinite(milliseconds) && Math.abs(milliseconds) <= 8.64e15
}
