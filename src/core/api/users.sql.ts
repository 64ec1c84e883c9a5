import type { RawBuilder } from 'kysely'
import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import type { Principal } from '../sessions/principal.ts'
import {
  asked,
  compares,
  containsJson,
  containsText,
  equals,
  equalsIgnoringCase,
  isNull,
  oneOf,
} from './filters.sql.ts'
import type { Condition, Ordering, Table } from './resource.sql.ts'
import { visibleRow } from './visible.sql.ts'

export interface UserQuery {
  attributes?: string
  date_joined?: string
  date_joined__gt?: string
  date_joined__lt?: string
  email?: string
  groups_by_name?: string[]
  groups_by_pk?: string[]
  include_groups?: boolean
  include_roles?: boolean
  is_active?: boolean
  is_superuser?: boolean
  last_login?: string
  last_login__gt?: string
  last_login__isnull?: boolean
  last_login__lt?: string
  last_updated?: string
  last_updated__gt?: string
  last_updated__lt?: string
  name?: string
  path?: string
  path_startswith?: string
  roles_by_name?: string[]
  roles_by_pk?: string[]
  search?: string
  type?: string[]
  username?: string
  uuid?: string
}

export function userTable(db: Queryable, query: UserQuery): Table {
  return { columns: userColumns(db, query), from: sql`${db.t('users')} r`, key: sql`r.id` }
}

/** A user's columns where `r` is a row of `users`. */
export function userColumns(
  db: Queryable,
  include: { include_groups?: boolean; include_roles?: boolean } = {},
) {
  return sql`
    r.id, r.uuid, r.uid, r.username, r.name, r.email, r.is_active, r.type, r.path, r.attributes, r.last_login_at,
    r.password_changed_at, r.created_at, r.updated_at, ${isSuperuser(db)} as is_superuser,
    array(
      select m.group_id from ${db.t('memberships')} m join ${db.t('groups')} g on g.id = m.group_id
      where m.user_id = r.id order by g.name
    ) as groups,
    case when ${include.include_groups ?? true} then coalesce((
      select json_agg(json_build_object('pk', g.id, 'num_pk', g.num_pk, 'name', g.name, 'is_superuser', g.is_superuser,
        'attributes', g.attributes) order by g.name)
      from ${db.t('memberships')} m join ${db.t('groups')} g on g.id = m.group_id where m.user_id = r.id
    ), '[]') end as groups_obj,
    array(
      select x.role_id from ${db.t('role_users')} x join ${db.t('roles')} o on o.id = x.role_id
      where x.user_id = r.id order by o.name
    ) as roles,
    case when ${include.include_roles ?? true} then coalesce((
      select json_agg(json_build_object('pk', o.id, 'name', o.name) order by o.name)
      from ${db.t('role_users')} x join ${db.t('roles')} o on o.id = x.role_id where x.user_id = r.id
    ), '[]') end as roles_obj`
}

/** The user `owner_id` of the row `r` names, as JSON under the name `owner`, in the short form for other objects. */
export function ownerColumn(db: Queryable) {
  const columns = userColumns(db, { include_groups: false, include_roles: false })
  // Within, `r` is the user; `owner_id` is no column of users and so is the outer row's.
  return sql`(select to_json(o) from (select ${columns} from ${db.t('users')} r where r.id = owner_id) o) as owner`
}

function isSuperuser(db: Queryable): Condition {
  return sql<boolean>`exists (
    select from ${db.t('memberships')} m
    join ${db.t('group_closure')} c on c.group_id = m.group_id
    join ${db.t('groups')} g on g.id = c.ancestor_id
    where m.user_id = r.id and g.is_superuser)`
}

export function userConditions(db: Queryable, q: UserQuery): Condition[] {
  return asked([
    equals(sql`r.username`, q.username),
    equals(sql`r.name`, q.name),
    equalsIgnoringCase(sql`r.email`, q.email),
    equals(sql`r.is_active`, q.is_active),
    q.is_superuser === undefined ? undefined : sql<boolean>`${isSuperuser(db)} = ${q.is_superuser}`,
    oneOf(sql`r.type`, q.type, 'text'),
    equals(sql`r.path`, q.path),
    q.path_startswith === undefined ? undefined : sql<boolean>`starts_with(r.path, ${q.path_startswith})`,
    equals(sql`r.uuid`, q.uuid),
    containsJson(sql`r.attributes`, q.attributes, 'attributes'),
    ...times('date_joined', sql`r.created_at`, q),
    ...times('last_login', sql`r.last_login_at`, q),
    ...times('last_updated', sql`r.updated_at`, q),
    isNull(sql`r.last_login_at`, q.last_login__isnull),
    among(db, 'memberships', oneOf(sql`x.group_id`, q.groups_by_pk, 'uuid')),
    among(db, 'memberships', namedIn(db, 'groups', sql`x.group_id`, q.groups_by_name)),
    among(db, 'role_users', oneOf(sql`x.role_id`, q.roles_by_pk, 'uuid')),
    among(db, 'role_users', namedIn(db, 'roles', sql`x.role_id`, q.roles_by_name)),
    containsText([sql`r.username`, sql`r.name`, sql`r.email`, sql`r.uuid::text`], q.search),
  ])
}

function times(
  name: 'date_joined' | 'last_login' | 'last_updated',
  column: RawBuilder<unknown>,
  q: UserQuery,
) {
  return [
    compares(column, '=', q[name]),
    compares(column, '>', q[`${name}__gt`]),
    compares(column, '<', q[`${name}__lt`]),
  ]
}

function among(
  db: Queryable,
  table: 'memberships' | 'role_users',
  condition: Condition | undefined,
): Condition | undefined {
  if (condition === undefined) return undefined
  return sql<boolean>`exists (select from ${db.t(table)} x where x.user_id = r.id and ${condition})`
}

function namedIn(
  db: Queryable,
  table: 'groups' | 'roles',
  id: RawBuilder<unknown>,
  names: string[] | undefined,
): Condition | undefined {
  if (names === undefined) return undefined
  return sql<boolean>`${id} in (select n.id from ${db.t(table)} n where n.name = any(${names}::text[]))`
}

export const userOrdering: Ordering = {
  username: sql`r.username`,
  name: sql`r.name`,
  email: sql`r.email`,
  is_active: sql`r.is_active`,
  last_login: sql`r.last_login_at`,
  date_joined: sql`r.created_at`,
  last_updated: sql`r.updated_at`,
  path: sql`r.path`,
  type: sql`r.type`,
  pk: sql`r.id`,
}

/** Makes the user's direct groups exactly these. */
export async function setGroupsOfUser(db: Queryable, userId: number, groups: string[]): Promise<void> {
  await db.count(sql`
    with gone as (
      delete from ${db.t('memberships')} where user_id = ${userId} and group_id <> all(${groups}::uuid[])
    )
    insert into ${db.t('memberships')} (user_id, group_id)
    select ${userId}, id from unnest(${groups}::uuid[]) as id on conflict do nothing`)
}

/** Makes the user's own roles exactly these. */
export async function setRolesOfUser(db: Queryable, userId: number, roles: string[]): Promise<void> {
  await db.count(sql`
    with gone as (
      delete from ${db.t('role_users')} where user_id = ${userId} and role_id <> all(${roles}::uuid[])
    )
    insert into ${db.t('role_users')} (user_id, role_id)
    select ${userId}, id from unnest(${roles}::uuid[]) as id on conflict do nothing`)
}

export async function userPaths(
  db: Queryable,
  principal: Principal,
  search: string | undefined,
): Promise<string[]> {
  const rows = await db.rows<{ path: string }>(sql`
    select distinct r.path from ${db.t('users')} r
    where ${visibleRow(db, principal, 'authentik_core.view_user')}
      and (${search ?? ''} = '' or strpos(lower(r.path), lower(${search ?? ''})) > 0)
    order by 1`)
  return rows.map(row => row.path)
}

export async function setPassword(db: Queryable, userId: number, password: string): Promise<void> {
  await db.count(sql`
    update ${db.t('users')} set password = ${password}, password_changed_at = now(), updated_at = now() where id = ${userId}`)
}

export interface SelfRow {
  roles: { pk: string; name: string }[]
  /** of the direct groups, by name; later ones win */
  group_attributes: Record<string, unknown>[]
}

/** What the principal does not carry and the caller wants to know of himself. */
export async function findSelf(db: Queryable, principal: Principal): Promise<SelfRow> {
  const row = await db.first<SelfRow>(sql`
    select
      coalesce((select json_agg(json_build_object('pk', o.id, 'name', o.name) order by o.name)
        from ${db.t('roles')} o where o.id = any(${principal.roleIds}::uuid[])), '[]') as roles,
      coalesce((select json_agg(g.attributes order by g.name)
        from ${db.t('groups')} g where g.id = any(${principal.groups.map(group => group.id)}::uuid[])), '[]') as group_attributes`)
  return row!
}
