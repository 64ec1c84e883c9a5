// What `postern migrate` would do, without doing it: the missing migrations, and which locks their statements take on tables that are
// there and may be in use.
import { openConnection } from './client.ts'
import { migrationText, migrationTitle, pending, readApplied } from './migrate.ts'
import type { Migration } from './migrations.ts'
import { splitSql } from './split-sql.ts'
import type { PgTarget } from './target.ts'

/** Mode of PostgreSQL (Explicit Locking, table-level), with what it keeps others from. */
export type LockMode =
  | 'access exclusive'
  | 'share row exclusive'
  | 'share'
  | 'share update exclusive'
  | 'row exclusive'

export const lockEffects: Record<LockMode, string> = {
  'access exclusive': 'nobody reads or writes',
  'share row exclusive': 'nobody writes',
  share: 'nobody writes',
  'share update exclusive': 'everybody goes on',
  'row exclusive': 'everybody goes on, but for the rows it changes',
}

export interface PlannedLock {
  table: string
  mode: LockMode
}

export interface PlannedMigration {
  title: string
  /** false: statement by statement, and again from its start after a crash */
  inTransaction: boolean
  statements: number
  /** on tables that exist before it; the strongest of each table */
  locks: PlannedLock[]
}

/**
 * @param options.target the database itself
 * @returns the missing migrations in order
 * @throws MigrationError when database and program do not fit, PgError when it cannot be reached
 */
export async function planMigrations(options: {
  target: PgTarget
  schema: string
  migrations: Migration[]
  appVersion: string
}): Promise<PlannedMigration[]> {
  const { client } = await openConnection(options.target, { applicationName: 'postern-migrate' })
  try {
    const missing = pending(options, await readApplied(client, options.schema))
    const made = new Set<string>()
    return missing.map(migration => describe(migration, options.schema, made))
  } finally {
    await client.end().catch(() => {})
  }
}

/** @param made tables the plan has created so far: nobody uses them yet */
function describe(migration: Migration, schema: string, made: Set<string>): PlannedMigration {
  const statements = splitSql(migrationText(migration, { schema }))
  const locks = new Map<string, LockMode>()
  for (const statement of statements) {
    const created = /^create (?:unlogged )?table (?:if not exists )?(\S+?)\s*(?:\(|partition|as\b|$)/i.exec(
      squeeze(statement),
    )
    if (created?.[1] !== undefined) made.add(bare(created[1]))
    for (const lock of locksOf(statement)) {
      if (made.has(lock.table)) continue
      const known = locks.get(lock.table)
      if (known === undefined || strength.indexOf(lock.mode) < strength.indexOf(known))
        locks.set(lock.table, lock.mode)
    }
  }
  return {
    title: migrationTitle(migration),
    inTransaction: !/^-- no-transaction\b/.test(migration.sql),
    statements: statements.length,
    locks: [...locks].map(([table, mode]) => ({ table, mode })),
  }
}

const strength: LockMode[] = [
  'access exclusive',
  'share row exclusive',
  'share',
  'share update exclusive',
  'row exclusive',
]

/** First words of a statement, the table in group 1, and the lock it takes; the first that fits counts. */
const rules: [RegExp, LockMode][] = [
  [/^create (?:unique )?index concurrently .*? on (?:only )?([^\s(]+)/i, 'share update exclusive'],
  [/^create (?:unique )?index .*? on (?:only )?([^\s(]+)/i, 'share'],
  [/^alter table (?:if exists )?(?:only )?(\S+) validate constraint/i, 'share update exclusive'],
  [
    /^alter table (?:if exists )?(?:only )?(\S+) alter (?:column )?\S+ set statistics/i,
    'share update exclusive',
  ],
  [/^alter table (?:if exists )?(?:only )?(\S+) set \(/i, 'share update exclusive'],
  [/^alter table (?:if exists )?(?:only )?(\S+)/i, 'access exclusive'],
  [/^create (?:or replace )?(?:constraint )?trigger .*? on (\S+)/i, 'share row exclusive'],
  [/^drop table (?:if exists )?([^\s,;]+)/i, 'access exclusive'],
  [/^truncate (?:table )?(?:only )?([^\s,;]+)/i, 'access exclusive'],
  [/^(?:vacuum full|cluster|reindex table) (\S+)/i, 'access exclusive'],
  [/^lock (?:table )?(\S+)/i, 'access exclusive'],
  [/^insert into ([^\s(]+)/i, 'row exclusive'],
  [/^update (?:only )?(\S+)/i, 'row exclusive'],
  [/^delete from (?:only )?(\S+)/i, 'row exclusive'],
]

function locksOf(statement: string): PlannedLock[] {
  const line = squeeze(statement)
  const locks: PlannedLock[] = []
  for (const [pattern, mode] of rules) {
    const table = pattern.exec(line)?.[1]
    if (table === undefined) continue
    locks.push({ table: bare(table), mode })
    break
  }
  // A foreign key locks the table it points to as well.
  if (/^(?:create (?:unlogged )?table|alter table)/i.test(line))
    for (const [, table = ''] of line.matchAll(/\breferences ([^\s(,]+)/gi))
      locks.push({ table: bare(table), mode: 'share row exclusive' })
  return locks
}

function squeeze(statement: string): string {
  return statement.replace(/\s+/g, ' ').trim()
}

/** Without the quotes our placeholders bring along. */
function bare(name: string): string {
  return name.replaceAll('"', '')
}
