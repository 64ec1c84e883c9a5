// `/core/groups/`: groups in a directed graph of parents; the closure table is kept with every change of the graph. Membership,
// parents, roles and superuser status are all ways of giving power, and each is checked along the whole ancestry.
import Type from 'typebox'
import { principalOf } from '../access.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { ApiError, invalid, permissionDenied } from '../errors.ts'
import { targetsOfGroups } from '../policies/lost-access.sql.ts'
import { accessChanged } from '../policies/lost-access.ts'
import type { WriteContext } from './audit.ts'
import { audit } from './audit.ts'
import { GroupBody, GroupInput, type GroupRow, include } from './group-shape.ts'
import type { GroupQuery } from './groups.sql.ts'
import {
  descendantsAmong,
  groupConditions,
  groupOrdering,
  groupTable,
  insertGroup,
  lockAncestry,
  rebuildClosure,
  setParents,
  setRolesOfGroup,
  setUsersOfGroup,
  subtreeOf,
} from './groups.sql.ts'
import { difference, requireMembershipChange, requireRoleChange } from './memberships.ts'
import { requireHeld } from './privileges.ts'
import { holdsOnAll, requireReferences } from './references.sql.ts'
import { removeRow, updateColumns } from './resource.sql.ts'
import { registerResource } from './resource.ts'
import type { Resource, WriteResult } from './resource-definition.ts'
import { findFor, modelOf, write } from './resource-write.ts'
import { Empty, errorResponses, IntegerKey, listQuery, onlyQuery, Uuid } from './shapes.ts'
import { visibleRow } from './visible.sql.ts'

export const groupResource: Resource<GroupRow, GroupInput, GroupQuery> = {
  path: '/core/groups/',
  parameter: ['group_uuid', Uuid],
  operation: 'core_groups',
  app: 'authentik_core',
  model: 'group',
  body: GroupBody,
  write: GroupInput,
  query: listQuery({
    ...include,
    attributes: Type.Optional(Type.String()),
    is_superuser: Type.Optional(Type.Boolean()),
    members_by_pk: Type.Optional(Type.Array(Type.Integer())),
    members_by_username: Type.Optional(Type.Array(Type.String())),
    name: Type.Optional(Type.String()),
  }),
  retrieveQuery: onlyQuery(include),
  table: groupTable,
  where: groupConditions,
  ordering: groupOrdering,
  toBody: ({ id, ...row }) => ({ pk: id, ...row }),
  label: row => ({ pk: row.id, name: row.name }),
  insert,
  update,
  remove,
  unique: { groups_name_key: 'name' },
  referrers: [
    {
      table: 'policy_bindings',
      column: 'group_id',
      app: 'authentik_policies',
      model: 'policybinding',
      name: 'id',
      action: 'cascade',
    },
  ],
}

export function registerGroupRoutes(app: CoreApp, core: Core): void {
  registerResource(app, core, groupResource)
  for (const [verb, permission] of [
    ['add_user', 'authentik_core.add_user_to_group'],
    ['remove_user', 'authentik_core.remove_user_from_group'],
  ] as const)
    app.post(
      `/api/v3/core/groups/:group_uuid/${verb}/`,
      {
        config: { access: { object: permission } },
        schema: {
          operationId: `core_groups_${verb}_create`,
          tags: ['core'],
          params: Type.Object({ group_uuid: Uuid }),
          body: Type.Object({ pk: IntegerKey }),
          response: { 204: Empty, ...errorResponses },
        },
      },
      async (request, reply) => {
        const principal = principalOf(request)
        await write(core, request, async context => {
          const { tx } = context
          const row = await findFor(groupResource, tx, request, visibleRow(tx, principal, permission), true)
          const { pk } = request.body
          const users = verb === 'add_user' ? [...row.users, pk] : row.users.filter(id => id !== pk)
          const { revocationId } = await changeUsers(context, row, users)
          const diff = { users: { previous_value: row.users, new_value: users } }
          await audit(context, 'model_updated', modelOf(groupResource, row), { diff }, revocationId)
        })
        return reply.code(204).send()
      },
    )
}

async function insert(context: WriteContext, input: GroupInput): Promise<string> {
  const { tx, principal } = context
  if (input.is_superuser === true && !principal.isSuperuser) throw superuserOnly()
  const { name, is_superuser: isSuperuser, attributes } = input
  const id = await insertGroup(tx, { name, isSuperuser, attributes })
  const empty = { id, users: [], parents: [], roles: [] }
  await changeGraph(context, empty, input)
  if (input.users !== undefined) await changeUsers(context, empty, input.users)
  return id
}

async function update(
  context: WriteContext,
  row: GroupRow,
  input: Partial<GroupInput>,
): Promise<WriteResult> {
  const { tx, principal } = context
  const superuser = input.is_superuser ?? row.is_superuser
  if (superuser && !row.is_superuser && !principal.isSuperuser) throw superuserOnly()
  if (
    !superuser &&
    row.is_superuser &&
    !(await holdsOnAll(tx, principal, 'authentik_core.disable_group_superuser', [row.id]))
  )
    throw permissionDenied()
  await updateColumns(tx, 'groups', row.id, {
    name: input.name,
    is_superuser: input.is_superuser,
    attributes: input.attributes,
  })
  const moved = await changeGraph(context, row, input)
  const changed = input.users === undefined ? {} : await changeUsers(context, row, input.users)
  return { ...moved, ...changed }
}

async function remove(context: WriteContext, row: GroupRow): Promise<WriteResult> {
  const { core, tx, principal } = context
  await requireHeld(tx, principal, { groups: [row.id] })
  await lockAncestry(tx)
  const below = (await subtreeOf(tx, row.id)).filter(id => id !== row.id)
  const applications = await targetsOfGroups(tx, [row.id])
  await removeRow(tx, 'groups', row.id)
  await rebuildClosure(tx, below)
  return accessChanged(tx, core.bus, { applications })
}

interface GroupLinks {
  id: string
  users: number[]
  parents: string[]
  roles: string[]
}

/** Parents and roles: everybody in the group and below it gets, or loses, what they give. */
async function changeGraph(
  context: WriteContext,
  row: GroupLinks,
  input: Partial<GroupInput>,
): Promise<WriteResult> {
  const { core, tx } = context
  if (input.roles !== undefined) {
    await requireRoleChange(context, row.roles, input.roles)
    await setRolesOfGroup(tx, row.id, input.roles)
  }
  if (input.parents === undefined) return {}
  await lockAncestry(tx)
  await requireMembershipChange(context, row.parents, input.parents, 'parents')
  const [cycle] = await descendantsAmong(tx, row.id, input.parents)
  if (cycle !== undefined) throw invalid({ parents: 'A group cannot be its own ancestor.' })
  const before = await targetsOfGroups(tx, [row.id])
  await setParents(tx, row.id, input.parents)
  await rebuildClosure(tx, await subtreeOf(tx, row.id))
  const applications = [...new Set([...before, ...(await targetsOfGroups(tx, [row.id]))])]
  return accessChanged(tx, core.bus, { applications })
}

async function changeUsers(context: WriteContext, row: GroupLinks, users: number[]): Promise<WriteResult> {
  const { core, tx, principal } = context
  const { added, removed } = difference(row.users, users)
  if (added.length + removed.length === 0) return {}
  await requireReferences(
    tx,
    principal,
    'users',
    { table: 'users', permission: 'authentik_core.view_user', type: 'int' },
    added,
  )
  if (
    (added.length > 0 && !(await holdsOnAll(tx, principal, 'authentik_core.add_user_to_group', [row.id]))) ||
    (removed.length > 0 &&
      !(await holdsOnAll(tx, principal, 'authentik_core.remove_user_from_group', [row.id])))
  )
    throw permissionDenied()
  await requireHeld(tx, principal, { groups: [row.id] })
  await setUsersOfGroup(tx, row.id, users)
  return accessChanged(tx, core.bus, { users: [...added, ...removed] })
}

function superuserOnly(): ApiError {
  return new ApiError(403, 'Only a superuser may make a group a superuser group.', {
    code: 'permission_denied',
  })
}
