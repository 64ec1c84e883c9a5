import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

export interface Recipient {
  id: number
  username: string
  name: string
  email: string
}

/** Active superusers, directly or through parent groups, that have an address. */
export async function administratorsWithAddress(db: Queryable): Promise<Recipient[]> {
  return await db.rows(sql<Recipient>`
    select u.id, u.username, u.name, u.email from ${db.t('users')} u
    where u.is_active and u.email <> '' and exists (
      select from ${db.t('memberships')} m
      join ${db.t('group_closure')} c on c.group_id = m.group_id
      join ${db.t('groups')} g on g.id = c.ancestor_id
      where m.user_id = u.id and g.is_superuser)
    order by u.id`)
}

/** What the default brand calls the installation. */
export async function installationTitle(db: Queryable): Promise<string | undefined> {
  const row = await db.first(
    sql<{ title: string }>`select branding_title as title from ${db.t('brands')} where is_default limit 1`,
  )
  return row?.title === '' ? undefined : row?.title
}
