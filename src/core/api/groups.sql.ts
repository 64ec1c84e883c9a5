import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { asked, containsJson, containsText, equals, oneOf } from './filters.sql.ts'
import type { Condition, Ordering, Table } from './resource.sql.ts'

export interface GroupQuery {
  attributes?: string
  include_children?: boolean
  include_inherited_roles?: boolean
  include_parents?: boolean
  include_users?: boolean
  is_superuser?: boolean
  members_by_pk?: number[]
  members_by_username?: string[]
  name?: string
  search?: string
}

export function groupTable(db: Queryable, q: GroupQuery): Table {
  const related = sql`json_build_object('pk', g.id, 'group_uuid', g.id, 'name', g.name, 'is_superuser', g.is_superuser,
    'attributes', g.attributes)`
  const role = sql`json_build_object('pk', o.id, 'name', o.name)`
  const members = sql`${db.t('memberships')} m join ${db.t('users')} u on u.id = m.user_id where m.group_id = r.id`
  const parents = sql`${db.t('group_parents')} p join ${db.t('groups')} g on g.id = p.parent_id where p.group_id = r.id`
  const children = sql`${db.t('group_parents')} p join ${db.t('groups')} g on g.id = p.group_id where p.parent_id = r.id`
  const roles = sql`${db.t('role_groups')} x join ${db.t('roles')} o on o.id = x.role_id where x.group_id = r.id`
  return {
    key: sql`r.id`,
    from: sql`${db.t('groups')} r`,
    columns: sql`
      r.id, r.num_pk, r.name, r.is_superuser, r.attributes,
      array(select p.parent_id from ${parents} order by g.name) as parents,
      array(select p.group_id from ${children} order by g.name) as children,
      array(select x.role_id from ${roles} order by o.name) as roles,
      array(select m.user_id from ${members} order by u.username) as users,
      coalesce((select json_agg(${role} order by o.name) from ${roles}), '[]') as roles_obj,
      case when ${q.include_parents ?? false}
        then coalesce((select json_agg(${related} order by g.name) from ${parents}), '[]') end as parents_obj,
      case when ${q.include_children ?? false}
        then coalesce((select json_agg(${related} order by g.name) from ${children}), '[]') end as children_obj,
      case when ${q.include_inherited_roles ?? false} then coalesce((
        select json_agg(${role} order by o.name) from ${db.t('roles')} o
        where o.id in (select x.role_id from ${db.t('role_groups')} x join ${db.t('group_closure')} c on c.ancestor_id = x.group_id
          where c.group_id = r.id and c.ancestor_id <> r.id)
      ), '[]') end as inherited_roles_obj,
      case when ${q.include_users ?? true} then coalesce((
        select json_agg(json_build_object('pk', u.id, 'username', u.username, 'name', u.name, 'is_active', u.is_active,
          'last_login', u.last_login_at, 'email', u.email, 'attributes', u.attributes, 'uid', u.uid) order by u.username)
        from ${members}
      ), '[]') end as users_obj`,
  }
}

export function groupConditions(db: Queryable, q: GroupQuery): Condition[] {
  const member = (condition: Condition | undefined) =>
    condition === undefined
      ? undefined
      : sql<boolean>`exists (select from ${db.t('memberships')} m join ${db.t('users')} u on u.id = m.user_id
          where m.group_id = r.id and ${condition})`
  return asked([
    equals(sql`r.name`, q.name),
    equals(sql`r.is_superuser`, q.is_superuser),
    containsJson(sql`r.attributes`, q.attributes, 'attributes'),
    member(oneOf(sql`u.id`, q.members_by_pk, 'int')),
    member(oneOf(sql`u.username`, q.members_by_username, 'text')),
    containsText([sql`r.name`], q.search),
  ])
}

export const groupOrdering: Ordering = {
  name: sql`r.name`,
  is_superuser: sql`r.is_superuser`,
  num_pk: sql`r.num_pk`,
  pk: sql`r.id`,
}

/** A group and its row in the closure. @returns its id */
export async function insertGroup(
  db: Queryable,
  group: { name: string; isSuperuser?: boolean; attributes?: object },
): Promise<string> {
  const row = await db.first<{ id: string }>(sql`
    with made as (
      insert into ${db.t('groups')} (name, is_superuser, attributes)
      values (${group.name}, ${group.isSuperuser ?? false}, ${JSON.stringify(group.attributes ?? {})}) returning id
    ), own as (
      insert into ${db.t('group_closure')} (group_id, ancestor_id) select id, id from made
    )
    select id from made`)
  return row!.id
}

/** Makes the members exactly these. */
export async function setUsersOfGroup(db: Queryable, groupId: string, users: number[]): Promise<void> {
  await db.count(sql`
    with gone as (
      delete from ${db.t('memberships')} where group_id = ${groupId} and user_id <> all(${users}::int[])
    )
    insert into ${db.t('memberships')} (user_id, group_id)
    select id, ${groupId} from unnest(${users}::int[]) as id on conflict do nothing`)
}

export async function setRolesOfGroup(db: Queryable, groupId: string, roles: string[]): Promise<void> {
  await db.count(sql`
    with gone as (
      delete from ${db.t('role_groups')} where group_id = ${groupId} and role_id <> all(${roles}::uuid[])
    )
    insert into ${db.t('role_groups')} (role_id, group_id)
    select id, ${groupId} from unnest(${roles}::uuid[]) as id on conflict do nothing`)
}

/** One writer of the ancestry at a time, so that two changes cannot build a cycle together. */
export async function lockAncestry(db: Queryable): Promise<void> {
  await db.count(sql`lock table ${db.t('group_parents')} in share row exclusive mode`)
}

/** Which of the candidates descend from the group, or are the group itself: as its parents they would close a cycle. */
export async function descendantsAmong(
  db: Queryable,
  groupId: string,
  candidates: string[],
): Promise<string[]> {
  const rows = await db.rows<{ id: string }>(sql`
    select c.group_id as id from ${db.t('group_closure')} c
    where c.ancestor_id = ${groupId} and c.group_id = any(${candidates}::uuid[])`)
  return rows.map(row => row.id)
}

/** The group and everything below it. */
export async function subtreeOf(db: Queryable, groupId: string): Promise<string[]> {
  const rows = await db.rows<{ id: string }>(sql`
    select group_id as id from ${db.t('group_closure')} where ancestor_id = ${groupId}`)
  return rows.map(row => row.id)
}

export async function setParents(db: Queryable, groupId: string, parents: string[]): Promise<void> {
  await db.count(sql`
    with gone as (
      delete from ${db.t('group_parents')} where group_id = ${groupId} and parent_id <> all(${parents}::uuid[])
    )
    insert into ${db.t('group_parents')} (group_id, parent_id)
    select ${groupId}, id from unnest(${parents}::uuid[]) as id on conflict do nothing`)
}

/** Writes the ancestors of the given groups anew, from `group_parents`. */
export async function rebuildClosure(db: Queryable, groups: string[]): Promise<void> {
  await db.count(sql`
    with recursive up(group_id, ancestor_id) as (
      select id, id from ${db.t('groups')} where id = any(${groups}::uuid[])
      union
      select up.group_id, p.parent_id from up join ${db.t('group_parents')} p on p.group_id = up.ancestor_id
    ), gone as (
      delete from ${db.t('group_closure')} c where c.group_id = any(${groups}::uuid[])
        and not exists (select from up where up.group_id = c.group_id and up.ancestor_id = c.ancestor_id)
    )
    insert into ${db.t('group_closure')} (group_id, ancestor_id) select group_id, ancestor_id from up on conflict do nothing`)
}
