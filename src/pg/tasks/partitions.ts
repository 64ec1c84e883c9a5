// Days of history. Partitions are made ahead and dropped whole when they are old; nothing is ever deleted row by row.
import { type Db, sql, type Tx } from '../db.ts'
import { lockInTx } from '../lock.ts'

/** Days each is kept for. */
export const retentionDays = { task_runs: 30, task_logs: 30, task_rollups: 90 } as const
export type PartitionedTable = keyof typeof retentionDays

const tables = Object.keys(retentionDays) as PartitionedTable[]
const daysAhead = 3
const dayMs = 86_400_000

/**
 * Makes the partitions of yesterday, today and three days ahead that are missing.
 * @returns names of those made
 */
export async function ensurePartitions(db: Db, now: Date = new Date()): Promise<string[]> {
  const wanted = tables.flatMap(table =>
    Array.from({ length: daysAhead + 2 }, (_, i) => ({
      table,
      day: new Date(now.getTime() + (i - 1) * dayMs),
    })),
  )
  const missing = async (on: Db | Tx) => {
    const existing = new Set(await partitionNames(on))
    return wanted.filter(({ table, day }) => !existing.has(partitionName(table, day)))
  }
  if ((await missing(db)).length === 0) return []
  return await db.transaction(async tx => {
    await lockInTx(tx, 'task', 'partitions')
    const made: string[] = []
    for (const { table, day } of await missing(tx)) made.push(await makePartition(tx, table, day))
    return made
  })
}

/**
 * Drops the partitions whose last moment is older than the table's retention.
 * @returns names of those dropped
 */
export async function dropOldPartitions(db: Db, now: Date = new Date()): Promise<string[]> {
  const dropped: string[] = []
  for (const name of await partitionNames(db)) {
    const table = tables.find(candidate => name.startsWith(`${candidate}_`))
    const day = dayOf(name)
    if (table === undefined || day === null) continue
    if (day.getTime() + dayMs > now.getTime() - retentionDays[table] * dayMs) continue
    // One transaction each: dropping takes a lock on the parent, for a moment.
    await db.transaction(async tx => {
      await lockInTx(tx, 'task', 'partitions')
      await tx.rows(sql`drop table if exists ${tx.t(name)}`)
    })
    dropped.push(name)
  }
  return dropped
}

async function partitionNames(on: Db | Tx): Promise<string[]> {
  const parents = tables.map(table => `${quoted(on.schema)}.${table}`)
  const rows = await on.rows(sql<{ name: string }>`
    select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = any(${parents}::text[]::regclass[])`)
  return rows.map(row => row.name)
}

/** Filled and attached rather than created as a partition: attaching takes a weaker lock, so runs can be written meanwhile. */
async function makePartition(tx: Tx, table: PartitionedTable, day: Date): Promise<string> {
  const name = partitionName(table, day)
  const from = dateText(day)
  const to = dateText(new Date(day.getTime() + dayMs))
  await tx.rows(
    sql`create table ${tx.t(name)} (like ${tx.t(table)} including defaults including constraints)`,
  )
  await tx.rows(
    sql`alter table ${tx.t(table)} attach partition ${tx.t(name)} for values from (${literal(from)}) to (${literal(to)})`,
  )
  return name
}

/** Days are those of UTC. */
function partitionName(table: PartitionedTable, day: Date): string {
  return `${table}_${dateText(day).replaceAll('-', '')}`
}

function dateText(day: Date): string {
  return day.toISOString().slice(0, 10)
}

function literal(date: string) {
  return sql.lit(`${date} 00:00:00+00`)
}

function dayOf(name: string): Date | null {
  const match = /_(\d{4})(\d\d)(\d\d)$/.exec(name)
  return match === null ? null : new Date(`${match[1]}-${match[2]}-${match[3]}T00:00:00Z`)
}

function quoted(schema: string): string {
  return `"${schema.replaceAll('"', '""')}"`
}
