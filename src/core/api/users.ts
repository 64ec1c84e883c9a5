// `/core/users/`: people and service accounts. Whatever takes access away (deactivation, deletion) ends it everywhere in the same
// transaction; nobody changes an account that may do more than himself.
import type { Static } from 'typebox'
import Type from 'typebox'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { invalid } from '../errors.ts'
import { targetsOfUser } from '../policies/lost-access.sql.ts'
import { accessChanged } from '../policies/lost-access.ts'
import { endUserAccess } from '../sessions/revoke.ts'
import { insertUser } from '../users/new-user.sql.ts'
import type { WriteContext } from './audit.ts'
import { requireMembershipChange, requireRoleChange } from './memberships.ts'
import { requireNotAbove } from './privileges.ts'
import { removeRow, updateColumns } from './resource.sql.ts'
import { registerResource } from './resource.ts'
import type { Resource, WriteResult } from './resource-definition.ts'
import { IntegerKey, Json, listQuery, nullable, Time, Uuid } from './shapes.ts'
import { UserBody, type UserRow, UserTypeName, userBody } from './user-shape.ts'
import type { UserQuery } from './users.sql.ts'
import { setGroupsOfUser, setRolesOfUser, userConditions, userOrdering, userTable } from './users.sql.ts'

const UserInput = Type.Object({
  username: Type.String({ minLength: 1, maxLength: 150 }),
  name: Type.String({ maxLength: 500 }),
  is_active: Type.Optional(Type.Boolean()),
  last_login: Type.Optional(nullable(Time)),
  groups: Type.Optional(Type.Array(Uuid)),
  roles: Type.Optional(Type.Array(Uuid)),
  email: Type.Optional(Type.String({ maxLength: 254 })),
  attributes: Type.Optional(Json),
  path: Type.Optional(Type.String({ minLength: 1, maxLength: 500 })),
  type: Type.Optional(UserTypeName),
})
type UserInput = Static<typeof UserInput>

const times = (name: string) => ({
  [name]: Type.Optional(Time),
  [`${name}__gt`]: Type.Optional(Time),
  [`${name}__lt`]: Type.Optional(Time),
})
const texts = Type.Optional(Type.Array(Type.String()))

const query = listQuery({
  ...times('date_joined'),
  ...times('last_login'),
  ...times('last_updated'),
  attributes: Type.Optional(Type.String()),
  email: Type.Optional(Type.String()),
  groups_by_name: texts,
  groups_by_pk: Type.Optional(Type.Array(Uuid)),
  include_groups: Type.Optional(Type.Boolean()),
  include_roles: Type.Optional(Type.Boolean()),
  is_active: Type.Optional(Type.Boolean()),
  is_superuser: Type.Optional(Type.Boolean()),
  last_login__isnull: Type.Optional(Type.Boolean()),
  name: Type.Optional(Type.String()),
  path: Type.Optional(Type.String()),
  path_startswith: Type.Optional(Type.String()),
  roles_by_name: texts,
  roles_by_pk: Type.Optional(Type.Array(Uuid)),
  type: Type.Optional(Type.Array(UserTypeName)),
  username: Type.Optional(Type.String()),
  uuid: Type.Optional(Uuid),
})

export const userResource: Resource<UserRow, UserInput, UserQuery> = {
  path: '/core/users/',
  parameter: ['id', IntegerKey],
  operation: 'core_users',
  app: 'authentik_core',
  model: 'user',
  body: UserBody,
  write: UserInput,
  query,
  table: userTable,
  where: userConditions,
  ordering: userOrdering,
  fromReplica: true,
  toBody: userBody,
  label: row => ({ pk: row.id, name: row.username }),
  insert,
  update,
  remove,
  unique: { users_username: 'username' },
  referrers: [
    {
      table: 'tokens',
      column: 'user_id',
      app: 'authentik_core',
      model: 'token',
      name: 'identifier',
      action: 'cascade',
    },
    {
      table: 'sessions',
      column: 'user_id',
      app: 'authentik_core',
      model: 'authenticatedsession',
      name: 'id',
      action: 'cascade',
    },
    {
      table: 'user_consents',
      column: 'user_id',
      app: 'authentik_core',
      model: 'userconsent',
      name: 'id',
      action: 'cascade',
    },
    {
      table: 'policy_bindings',
      column: 'user_id',
      app: 'authentik_policies',
      model: 'policybinding',
      name: 'id',
      action: 'cascade',
    },
    {
      table: 'outposts',
      column: 'user_id',
      app: 'authentik_outposts',
      model: 'outpost',
      action: 'left_dangling',
    },
  ],
}

export function registerUserResource(app: CoreApp, core: Core): void {
  registerResource(app, core, userResource)
}

async function insert(context: WriteContext, input: UserInput): Promise<number> {
  const { core, tx } = context
  checkFields(input)
  if (input.type === 'internal_service_account') throw invalid({ type: internalOnly })
  const { id } = await insertUser(tx, core.installationId, {
    username: input.username,
    name: input.name,
    email: input.email,
    type: input.type,
    path: input.path,
    isActive: input.is_active,
    attributes: input.attributes,
  })
  await setMemberships(context, id, { groups: [], roles: [] }, input)
  return id
}

async function update(context: WriteContext, row: UserRow, input: Partial<UserInput>): Promise<WriteResult> {
  const { core, tx, principal } = context
  checkFields(input)
  await requireNotAbove(tx, principal, [row.id])
  const type = input.type ?? row.type
  if (type !== row.type && (type === 'internal_service_account' || row.type === 'internal_service_account'))
    throw invalid({ type: internalOnly })
  const deactivated = row.is_active && input.is_active === false
  if (deactivated && row.id === principal.user.id)
    throw invalid({ is_active: 'You cannot deactivate your own account.' })
  const newAddress = input.email !== undefined && input.email !== row.email
  await updateColumns(tx, 'users', row.id, {
    username: input.username,
    name: input.name,
    email: input.email,
    // Whoever types an address has not proved that it is the user's.
    email_verified: newAddress ? false : undefined,
    is_active: input.is_active,
    attributes: input.attributes,
    path: input.path,
    type: input.type,
  })
  const moved = await setMemberships(context, row.id, row, input)
  if (!deactivated) return moved
  const [revocation] = await endUserAccess(tx, core.bus, row)
  return { revocationId: revocation?.id }
}

async function remove(context: WriteContext, row: UserRow): Promise<WriteResult> {
  const { core, tx, principal } = context
  if (row.id === principal.user.id) throw invalid({ non_field_errors: 'You cannot delete your own account.' })
  await requireNotAbove(tx, principal, [row.id])
  const [revocation] = await endUserAccess(tx, core.bus, row)
  const applications = await targetsOfUser(tx, row.id)
  await removeRow(tx, 'users', row.id)
  // Bindings that named him are gone as well, those that shut him out among them.
  await accessChanged(tx, core.bus, { applications })
  return { revocationId: revocation?.id }
}

async function setMemberships(
  context: WriteContext,
  id: number,
  was: { groups: string[]; roles: string[] },
  input: Partial<UserInput>,
): Promise<WriteResult> {
  const { core, tx } = context
  const groups = input.groups ?? was.groups
  const moved = groups.length !== was.groups.length || groups.some(group => !was.groups.includes(group))
  if (input.groups !== undefined) {
    await requireMembershipChange(context, was.groups, input.groups)
    await setGroupsOfUser(tx, id, input.groups)
  }
  if (input.roles !== undefined) {
    await requireRoleChange(context, was.roles, input.roles)
    await setRolesOfUser(tx, id, input.roles)
  }
  return moved ? accessChanged(tx, core.bus, { users: [id] }) : {}
}

const internalOnly = 'Internal service accounts are made and kept by the system.'

/** @throws ApiError 400 */
function checkFields(input: Partial<UserInput>): void {
  const { username, email, path } = input
  if (username !== undefined && username !== username.trim())
    throw invalid({ username: 'A username must not begin or end with a space.' })
  // Exactly one @, and nothing that an address header could be split at.
  if (email !== undefined && email !== '' && !/^[^\s@<>,;:"()[\]\\]+@[^\s@<>,;:"()[\]\\]+$/.test(email))
    throw invalid({ email: 'Enter a valid email address.' })
  if (path?.split('/').some(part => part === '' || part === '.' || part === '..'))
    throw invalid({ path: 'No leading or trailing slashes, and no empty parts, allowed.' })
}
