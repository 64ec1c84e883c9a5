import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { asked, containsText, equals, isNull, oneOf } from '../api/filters.sql.ts'
import type { Condition, Ordering, Table } from '../api/resource.sql.ts'

export interface MappingRow {
  id: string
  managed: string | null
  name: string
  scope_name: string
  description: string
  expression: string
}

export interface MappingQuery {
  managed?: string[]
  managed__isnull?: boolean
  name?: string
  scope_name?: string
  search?: string
}

export function mappingTable(db: Queryable): Table {
  return {
    key: sql`r.id`,
    from: sql`${db.t('property_mappings')} r`,
    columns: sql`r.id, r.managed, r.name, r.scope_name, r.description, r.expression`,
  }
}

export function mappingConditions(_db: Queryable, q: MappingQuery): Condition[] {
  return asked([
    oneOf(sql`r.managed`, q.managed, 'text'),
    isNull(sql`r.managed`, q.managed__isnull),
    equals(sql`r.name`, q.name),
    equals(sql`r.scope_name`, q.scope_name),
    containsText([sql`r.name`], q.search),
  ])
}

export const mappingOrdering: Ordering = {
  scope_name: sql`r.scope_name`,
  name: sql`r.name`,
  managed: sql`r.managed`,
  pk: sql`r.id`,
}
