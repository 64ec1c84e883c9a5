// A user as the API shows it; also nested in tokens and consents.
import type { Static } from 'typebox'
import Type from 'typebox'
import type { UserType } from '../sessions/principal.ts'
import { avatarOf } from '../users/avatar.ts'
import { iso, isoOrNull, Json, type JsonObject, nullable, Time, Uuid } from './shapes.ts'

export const UserTypeName = Type.Enum(['internal', 'external', 'service_account', 'internal_service_account'])

export const PartialGroup = Type.Object({
  pk: Uuid,
  num_pk: Type.Integer(),
  name: Type.String(),
  is_superuser: Type.Boolean(),
  attributes: Json,
})

export const RoleBody = Type.Object({ pk: Uuid, name: Type.String() })

export const UserBody = Type.Object({
  pk: Type.Integer(),
  username: Type.String(),
  name: Type.String(),
  is_active: Type.Boolean(),
  last_login: nullable(Time),
  date_joined: Time,
  is_superuser: Type.Boolean(),
  groups: Type.Array(Uuid),
  groups_obj: nullable(Type.Array(PartialGroup)),
  roles: Type.Array(Uuid),
  roles_obj: nullable(Type.Array(RoleBody)),
  email: Type.String(),
  avatar: Type.String(),
  attributes: Json,
  uid: Type.String(),
  path: Type.String(),
  type: UserTypeName,
  uuid: Uuid,
  password_change_date: Time,
  last_updated: Time,
})

export interface UserRow {
  id: number
  uuid: string
  uid: string
  username: string
  name: string
  email: string
  is_active: boolean
  type: UserType
  path: string
  attributes: JsonObject
  last_login_at: Date | null
  password_changed_at: Date
  created_at: Date
  updated_at: Date
  is_superuser: boolean
  groups: string[]
  groups_obj: Static<typeof PartialGroup>[] | null
  roles: string[]
  roles_obj: Static<typeof RoleBody>[] | null
}

export function userBody(row: UserRow): Static<typeof UserBody> {
  return {
    pk: row.id,
    username: row.username,
    name: row.name,
    is_active: row.is_active,
    last_login: isoOrNull(row.last_login_at),
    date_joined: iso(row.created_at),
    is_superuser: row.is_superuser,
    groups: row.groups,
    groups_obj: row.groups_obj,
    roles: row.roles,
    roles_obj: row.roles_obj,
    email: row.email,
    avatar: avatarOf(row.name === '' ? row.username : row.name),
    attributes: row.attributes,
    uid: row.uid,
    path: row.path,
    type: row.type,
    uuid: row.uuid,
    password_change_date: iso(row.password_changed_at),
    last_updated: iso(row.updated_at),
  }
}

/** A row that came as JSON inside another row: its times are text. */
export type OwnerJson = Omit<
  UserRow,
  'last_login_at' | 'password_changed_at' | 'created_at' | 'updated_at'
> & {
  last_login_at: string | null
  password_changed_at: string
  created_at: string
  updated_at: string
}

/** The user within another object: who it is, without attributes and memberships. */
export function ownerBody(owner: OwnerJson): Static<typeof UserBody> {
  return userBody({
    ...owner,
    attributes: {},
    groups: [],
    roles: [],
    last_login_at: owner.last_login_at === null ? null : new Date(owner.last_login_at),
    password_changed_at: new Date(owner.password_changed_at),
    created_at: new Date(owner.created_at),
    updated_at: new Date(owner.updated_at),
  })
}
