import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { asked, containsText, equals, isNull, oneOf } from './filters.sql.ts'
import type { Condition, Ordering, Table } from './resource.sql.ts'

export interface RoleQuery {
  groups?: string
  inherited?: boolean
  managed?: string[]
  managed__isnull?: boolean
  name?: string
  search?: string
  users?: number
}

export function roleTable(db: Queryable): Table {
  return { columns: sql`r.id, r.name, r.managed`, from: sql`${db.t('roles')} r`, key: sql`r.id` }
}

export function roleConditions(db: Queryable, q: RoleQuery): Condition[] {
  const inherited = q.inherited ?? false
  const ofGroup = sql<boolean>`exists (
    select from ${db.t('role_groups')} x join ${db.t('group_closure')} c on c.ancestor_id = x.group_id
    where x.role_id = r.id and c.group_id = ${q.groups ?? null}::uuid and (${inherited} or c.ancestor_id = c.group_id))`
  const ofUser = sql<boolean>`(exists (
    select from ${db.t('role_users')} x where x.role_id = r.id and x.user_id = ${q.users ?? null}::int
  ) or (${inherited} and exists (
    select from ${db.t('memberships')} m join ${db.t('group_closure')} c on c.group_id = m.group_id
    join ${db.t('role_groups')} x on x.group_id = c.ancestor_id
    where m.user_id = ${q.users ?? null}::int and x.role_id = r.id)))`
  return asked([
    equals(sql`r.name`, q.name),
    oneOf(sql`r.managed`, q.managed, 'text'),
    isNull(sql`r.managed`, q.managed__isnull),
    q.groups === undefined ? undefined : ofGroup,
    q.users === undefined ? undefined : ofUser,
    containsText([sql`r.name`], q.search),
  ])
}

export const roleOrdering: Ordering = { name: sql`r.name`, pk: sql`r.id` }

export async function addUserToRole(db: Queryable, roleId: string, userId: number): Promise<number> {
  return db.count(sql`
    insert into ${db.t('role_users')} (role_id, user_id) values (${roleId}, ${userId}) on conflict do nothing`)
}

export async function removeUserFromRole(db: Queryable, roleId: string, userId: number): Promise<number> {
  return db.count(sql`
    delete from ${db.t('role_users')} where role_id = ${roleId} and user_id = ${userId}`)
}

/** @param objectId null = every object */
export async function grantPermissions(
  db: Queryable,
  roleId: string,
  permissions: string[],
  objectId: string | null,
): Promise<number> {
  return db.count(sql`
    insert into ${db.t('role_permissions')} (role_id, permission, object_id)
    select ${roleId}, p, ${objectId} from unnest(${permissions}::text[]) as p on conflict do nothing`)
}

export async function takePermissions(
  db: Queryable,
  roleId: string,
  permissions: string[],
  objectId: string | null,
): Promise<number> {
  return db.count(sql`
    delete from ${db.t('role_permissions')} where role_id = ${roleId} and permission = any(${permissions}::text[])
      and object_id is not distinct from ${objectId}`)
}

/** Permissions the role has on every object. */
export async function permissionsOfRole(db: Queryable, roleId: string): Promise<string[]> {
  const rows = await db.rows<{ permission: string }>(sql`
    select permission from ${db.t('role_permissions')} where role_id = ${roleId} and object_id is null`)
  return rows.map(row => row.permission)
}
