import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import type { Principal } from '../sessions/principal.ts'
import type { UsedByRow } from './shapes.ts'
import { visibleTo } from './visible.sql.ts'

/** A table that refers to the resource. */
export interface Referrer {
  table: string
  /** the foreign key */
  column: string
  /** how the API names the referring model */
  app: string
  model: string
  /** its key and its name */
  pk?: string
  name?: string
  action: UsedByRow['action']
}

/** Objects that refer to the row and that the caller may view, at most 500. */
export async function usedBy(
  db: Queryable,
  principal: Principal,
  referrers: Referrer[],
  id: string | number,
): Promise<UsedByRow[]> {
  if (referrers.length === 0) return []
  const parts = referrers.map(r => {
    const pk = sql.ref(`u.${r.pk ?? 'id'}`)
    const view = visibleTo(db, principal, `${r.app}.view_${r.model}`, pk)
    return sql`
      select ${r.app}::text as app, ${r.model}::text as model_name, ${pk}::text as pk,
        ${sql.ref(`u.${r.name ?? 'name'}`)}::text as name, ${r.action}::text as action
      from ${db.t(r.table)} u where ${sql.ref(`u.${r.column}`)} = ${id} and ${view}`
  })
  return db.rows<UsedByRow>(sql`${sql.join(parts, sql` union all `)} order by 1, 2, 4, 3 limit 500`)
}
