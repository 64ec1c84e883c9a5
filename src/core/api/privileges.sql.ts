import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import type { Principal } from '../sessions/principal.ts'

/** What gives privileges: groups with their whole ancestry, roles, or everything a user has. */
export interface PrivilegeSource {
  groups?: string[]
  roles?: string[]
  users?: number[]
}

/**
 * Whether the source gives anything the principal does not hold himself: superuser status, or a permission (on every object, or on
 * one) that neither his global nor his object permissions cover.
 */
export async function givesMoreThanHeld(
  db: Queryable,
  principal: Principal,
  source: PrivilegeSource,
): Promise<boolean> {
  if (principal.isSuperuser) return false
  const row = await db.first<{ more: boolean }>(sql`
    with direct_groups as (
      select unnest(${source.groups ?? []}::uuid[]) as id
      union
      select m.group_id from ${db.t('memberships')} m where m.user_id = any(${source.users ?? []}::int[])
    ), all_groups as (
      select c.ancestor_id as id from direct_groups d join ${db.t('group_closure')} c on c.group_id = d.id
      union
      select id from direct_groups
    ), all_roles as (
      select unnest(${source.roles ?? []}::uuid[]) as id
      union
      select ru.role_id from ${db.t('role_users')} ru where ru.user_id = any(${source.users ?? []}::int[])
      union
      select rg.role_id from ${db.t('role_groups')} rg join all_groups g on g.id = rg.group_id
    )
    select exists (
      select from ${db.t('groups')} g join all_groups a on a.id = g.id where g.is_superuser
    ) or exists (
      select from ${db.t('role_permissions')} given join all_roles r on r.id = given.role_id
      where not exists (
        select from ${db.t('role_permissions')} own
        where own.role_id = any(${principal.roleIds}::uuid[]) and own.permission = given.permission
          and (own.object_id is null or own.object_id = given.object_id)
      )
    ) as more`)
  return row?.more ?? true
}
