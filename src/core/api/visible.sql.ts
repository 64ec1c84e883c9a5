import type { RawBuilder } from 'kysely'
import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import type { Principal } from '../sessions/principal.ts'
import { holds } from '../sessions/principal.ts'

/**
 * Condition "the principal holds `permission` on this row", for the WHERE of a list or a look-up: rows it is not true for do not exist
 * for the caller.
 * @param id the row's key as SQL, e.g. ``sql`o.id` ``
 */
export function visibleTo(db: Queryable, principal: Principal, permission: string, id: RawBuilder<unknown>) {
  if (holds(principal, permission)) return sql<boolean>`true`
  return sql<boolean>`exists (
    select from ${db.t('role_permissions')} rp
    where rp.role_id = any(${principal.roleIds}::uuid[]) and rp.permission = ${permission} and rp.object_id = (${id})::text)`
}

/** `visibleTo` for the row whose alias is `r`. */
export function visibleRow(db: Queryable, principal: Principal, permission: string) {
  return visibleTo(db, principal, permission, sql`r.id`)
}
