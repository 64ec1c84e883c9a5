import type { RawBuilder } from 'kysely'
import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { invalid } from '../errors.ts'

/** Where the rows of a resource come from. The alias of the main table is `r`, and it has a column `id`. */
export interface Table {
  /** the select list */
  columns: RawBuilder<unknown>
  from: RawBuilder<unknown>
  /** the column the path names, e.g. `r.id` */
  key: RawBuilder<unknown>
}

export type Condition = RawBuilder<boolean>

/** One page with the number of all rows, in one statement; the id breaks ties. */
export async function listRows<Row>(
  db: Pick<Queryable, 'rows'>,
  table: Table,
  query: { where: Condition[]; order: RawBuilder<unknown>[]; limit: number; offset: number },
): Promise<(Row & { total: number })[]> {
  const order = sql.join([...query.order, sql`r.id`])
  return db.rows<Row & { total: number }>(sql`
    select ${table.columns}, (count(*) over ())::int as total from ${table.from}
    where ${all(query.where)} order by ${order} limit ${query.limit} offset ${query.offset}`)
}

/** The row by what the path says, if `visible`; `permitted` tells whether the caller may do what he came for. */
export async function findRow<Row>(
  db: Queryable,
  table: Table,
  find: { key: string | number; visible: Condition; permitted: Condition; lock?: boolean },
): Promise<(Row & { permitted: boolean }) | undefined> {
  const lock = find.lock === true ? sql`for no key update of r` : sql``
  return db.first<Row & { permitted: boolean }>(sql`
    select ${table.columns}, (${find.permitted}) as permitted from ${table.from}
    where ${table.key} = ${find.key} and ${find.visible} ${lock}`)
}

/** The row by its id, as it is now. */
export async function reloadRow<Row>(db: Queryable, table: Table, id: string | number): Promise<Row> {
  const row = await db.first<Row>(sql`select ${table.columns} from ${table.from} where r.id = ${id}`)
  if (row === undefined) throw new Error('a row vanished within its own transaction')
  return row
}

/** Inserts one row of plain columns. @returns its id */
export async function insertColumns<Id extends string | number>(
  db: Queryable,
  table: string,
  columns: Record<string, unknown>,
): Promise<Id> {
  const entries = Object.entries(columns).filter(([, value]) => value !== undefined)
  const names = entries.map(([name]) => sql.id(name))
  const values = entries.map(([, value]) => sql`${value}`)
  const row = await db.first<{ id: Id }>(sql`
    insert into ${db.t(table)} (${sql.join(names)}) values (${sql.join(values)}) returning id`)
  return row!.id
}

/** Writes the columns that are given (undefined = leave). `updated_at` is set when the table has it. */
export async function updateColumns(
  db: Queryable,
  table: string,
  id: string | number,
  columns: Record<string, unknown>,
): Promise<void> {
  const entries = Object.entries(columns).filter(([, value]) => value !== undefined)
  if (entries.length === 0) return
  const parts = entries.map(([name, value]) => sql`${sql.id(name)} = ${value}`)
  if (!withoutUpdatedAt.has(table)) parts.push(sql`updated_at = now()`)
  await db.count(sql`update ${db.t(table)} set ${sql.join(parts)} where id = ${id}`)
}

const withoutUpdatedAt = new Set([
  'roles',
  'tokens',
  'user_consents',
  'policy_bindings',
  'flow_stage_bindings',
])

export async function removeRow(db: Queryable, table: string, id: string | number): Promise<void> {
  await db.count(sql`delete from ${db.t(table)} where id = ${id}`)
}

function all(conditions: Condition[]): RawBuilder<unknown> {
  return conditions.length === 0 ? sql`true` : sql.join(conditions, sql` and `)
}

/** Field names of the API → what they order by. */
export type Ordering = Record<string, RawBuilder<unknown>>

/**
 * @param asked `name`, `-name` or several joined by commas
 * @param standard taken when nothing is asked; default: the first of `ordering`
 * @throws ApiError 400 for a field that is not in `ordering`
 */
export function orderBy(
  ordering: Ordering,
  asked: string | undefined,
  standard?: string,
): RawBuilder<unknown>[] {
  const fields = asked === undefined || asked === '' ? (standard ?? Object.keys(ordering)[0]!) : asked
  return fields.split(',').map(field => {
    const name = field.startsWith('-') ? field.slice(1) : field
    if (!Object.hasOwn(ordering, name)) throw invalid({ ordering: `"${name}" is not a field to order by.` })
    return field.startsWith('-')
      ? sql`${ordering[name]!} desc nulls last`
      : sql`${ordering[name]!} asc nulls first`
  })
}
