// Conditions of lists. Each takes undefined for "not asked for" and then gives nothing.
import type { RawBuilder } from 'kysely'
import { sql } from '../../pg/db.ts'
import { invalid } from '../errors.ts'
import type { Condition } from './resource.sql.ts'

type Column = RawBuilder<unknown>

/** The conditions that were asked for. */
export function asked(conditions: (Condition | undefined)[]): Condition[] {
  return conditions.filter(condition => condition !== undefined)
}

export function equals(column: Column, value: string | number | boolean | undefined): Condition | undefined {
  return value === undefined ? undefined : sql<boolean>`${column} = ${value}`
}

export function equalsIgnoringCase(column: Column, value: string | undefined): Condition | undefined {
  return value === undefined ? undefined : sql<boolean>`lower(${column}) = lower(${value})`
}

/** True when one of `values` is the column's; `type` is the SQL type of the column. */
export function oneOf(
  column: Column,
  values: (string | number)[] | undefined,
  type: 'text' | 'uuid' | 'int',
): Condition | undefined {
  if (values === undefined) return undefined
  return sql<boolean>`${column} = any(${values}::${sql.raw(type)}[])`
}

/** Case-insensitive "contains", in any of the columns; wildcards have no meaning. */
export function containsText(columns: Column[], text: string | undefined): Condition | undefined {
  if (text === undefined || text === '') return undefined
  const parts = columns.map(column => sql`strpos(lower(${column}), lower(${text})) > 0`)
  return sql<boolean>`(${sql.join(parts, sql` or `)})`
}

/** Times as ISO text. */
export function compares(
  column: Column,
  operator: '=' | '<' | '>',
  time: string | undefined,
): Condition | undefined {
  return time === undefined ? undefined : sql<boolean>`${column} ${sql.raw(operator)} ${time}::timestamptz`
}

export function isNull(column: Column, wanted: boolean | undefined): Condition | undefined {
  return wanted === undefined ? undefined : sql<boolean>`(${column} is null) = ${wanted}`
}

/** @param json text of an object that the column must contain. @throws ApiError 400 on `field` */
export function containsJson(column: Column, json: string | undefined, field: string): Condition | undefined {
  if (json === undefined || json === '') return undefined
  try {
    const value: unknown = JSON.parse(json)
    if (value !== null && typeof value === 'object' && !Array.isArray(value))
      return sql<boolean>`${column} @> ${json}::jsonb`
  } catch {}
  throw invalid({ [field]: 'This must be a JSON object.' })
}
