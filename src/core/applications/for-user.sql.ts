import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { visibleTo } from '../api/visible.sql.ts'
import type { Principal } from '../sessions/principal.ts'

/** A user the caller may view, or undefined: asking on somebody's behalf needs view on him. */
export async function findVisibleUser(
  db: Queryable,
  principal: Principal,
  userId: number,
): Promise<{ id: number; is_active: boolean } | undefined> {
  return db.first(sql<{ id: number; is_active: boolean }>`
    select u.id, u.is_active from ${db.t('users')} u
    where u.id = ${userId} and ${visibleTo(db, principal, 'authentik_core.view_user', sql`u.id`)}`)
}
