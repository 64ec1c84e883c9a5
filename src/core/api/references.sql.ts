import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { invalid } from '../errors.ts'
import type { Principal } from '../sessions/principal.ts'
import { visibleTo } from './visible.sql.ts'

/**
 * A key in a body needs view on what it refers to; what the caller may not view does not exist for him.
 * @param field of the body, for the message
 * @param permission e.g. `authentik_flows.view_flow`
 * @throws ApiError 400 naming the first key that is not there
 */
export async function requireReferences(
  db: Queryable,
  principal: Principal,
  field: string,
  reference: { table: string; permission: string; type: 'uuid' | 'int' },
  ids: (string | number | null | undefined)[],
): Promise<void> {
  const wanted = [...new Set(ids.filter(id => id !== null && id !== undefined))]
  if (wanted.length === 0) return
  const rows = await db.rows<{ id: string }>(sql`
    select x.id::text as id from ${db.t(reference.table)} x
    where x.id = any(${wanted}::${sql.raw(reference.type)}[])
      and ${visibleTo(db, principal, reference.permission, sql`x.id`)}`)
  const found = new Set(rows.map(row => row.id))
  const missing = wanted.find(id => !found.has(String(id)))
  if (missing !== undefined) throw invalid({ [field]: `Invalid pk "${missing}" - object does not exist.` })
}

/** Whether `permission` is held on each of the ids. */
export async function holdsOnAll(
  db: Queryable,
  principal: Principal,
  permission: string,
  ids: (string | number)[],
): Promise<boolean> {
  if (ids.length === 0) return true
  const row = await db.first<{ held: boolean }>(sql`
    select bool_and(${visibleTo(db, principal, permission, sql`x.id`)}) as held
    from unnest(${ids.map(String)}::text[]) as x(id)`)
  return row?.held ?? false
}
