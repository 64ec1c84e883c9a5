// A group as the API shows it and takes it.
import type { Static } from 'typebox'
import Type from 'typebox'
import { IntegerKey, Json, type JsonObject, nullable, Time, Uuid } from './shapes.ts'
import { RoleBody } from './user-shape.ts'

const RelatedGroup = Type.Object({
  pk: Uuid,
  group_uuid: Uuid,
  name: Type.String(),
  is_superuser: Type.Boolean(),
  attributes: Json,
})
const PartialUser = Type.Object({
  pk: Type.Integer(),
  username: Type.String(),
  name: Type.String(),
  is_active: Type.Boolean(),
  last_login: nullable(Time),
  email: Type.String(),
  attributes: Json,
  uid: Type.String(),
})
export const GroupBody = Type.Object({
  pk: Uuid,
  num_pk: Type.Integer(),
  name: Type.String(),
  is_superuser: Type.Boolean(),
  parents: Type.Array(Uuid),
  parents_obj: nullable(Type.Array(RelatedGroup)),
  users: Type.Array(Type.Integer()),
  users_obj: nullable(Type.Array(PartialUser)),
  attributes: Json,
  roles: Type.Array(Uuid),
  roles_obj: Type.Array(RoleBody),
  inherited_roles_obj: nullable(Type.Array(RoleBody)),
  children: Type.Array(Uuid),
  children_obj: nullable(Type.Array(RelatedGroup)),
})
export const GroupInput = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 500 }),
  is_superuser: Type.Optional(Type.Boolean()),
  parents: Type.Optional(Type.Array(Uuid)),
  users: Type.Optional(Type.Array(IntegerKey)),
  attributes: Type.Optional(Json),
  roles: Type.Optional(Type.Array(Uuid)),
})
export type GroupInput = Static<typeof GroupInput>

export interface GroupRow extends Omit<Static<typeof GroupBody>, 'pk' | 'attributes'> {
  id: string
  attributes: JsonObject
}

export const include = {
  include_children: Type.Optional(Type.Boolean()),
  include_inherited_roles: Type.Optional(Type.Boolean()),
  include_parents: Type.Optional(Type.Boolean()),
  include_users: Type.Optional(Type.Boolean()),
}
