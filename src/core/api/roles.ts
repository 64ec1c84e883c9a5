// `/rbac/roles/` and `/rbac/permissions/`: a role is a set of permissions, given to users and groups; there are no permissions of
// single users. Nobody gives what he does not hold.
import type { Static } from 'typebox'
import Type from 'typebox'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { invalid, permissionDenied } from '../errors.ts'
import type { Principal } from '../sessions/principal.ts'
import { holds } from '../sessions/principal.ts'
import type { WriteContext } from './audit.ts'
import { audit } from './audit.ts'
import { isPermission } from './permissions.ts'
import { requireHeld } from './privileges.ts'
import { holdsOnAll, requireReferences } from './references.sql.ts'
import { insertColumns, removeRow, updateColumns } from './resource.sql.ts'
import { registerResource } from './resource.ts'
import type { Resource, WriteResult } from './resource-definition.ts'
import { findFor, modelOf, write } from './resource-write.ts'
import type { RoleQuery } from './roles.sql.ts'
import {
  addUserToRole,
  grantPermissions,
  removeUserFromRole,
  roleConditions,
  roleOrdering,
  roleTable,
  takePermissions,
} from './roles.sql.ts'
import { Empty, errorResponses, IntegerKey, listQuery, Uuid } from './shapes.ts'
import { RoleBody } from './user-shape.ts'
import { visibleRow } from './visible.sql.ts'

const RoleInput = Type.Object({ name: Type.String({ minLength: 1, maxLength: 150 }) })
type RoleInput = Static<typeof RoleInput>

interface RoleRow {
  id: string
  name: string
  managed: string | null
}

export const roleResource: Resource<RoleRow, RoleInput, RoleQuery> = {
  path: '/rbac/roles/',
  parameter: ['uuid', Uuid],
  operation: 'rbac_roles',
  app: 'authentik_rbac',
  model: 'role',
  body: RoleBody,
  write: RoleInput,
  query: listQuery({
    groups: Type.Optional(Uuid),
    inherited: Type.Optional(Type.Boolean()),
    managed: Type.Optional(Type.Array(Type.String())),
    managed__isnull: Type.Optional(Type.Boolean()),
    name: Type.Optional(Type.String()),
    users: Type.Optional(IntegerKey),
  }),
  table: roleTable,
  where: roleConditions,
  ordering: roleOrdering,
  toBody: row => ({ pk: row.id, name: row.name }),
  label: row => ({ pk: row.id, name: row.name }),
  insert: (context, input) => insertColumns(context.tx, 'roles', { name: input.name }),
  update,
  remove,
  unique: { roles_name_key: 'name' },
}

export function registerRoleRoutes(app: CoreApp, core: Core): void {
  registerResource(app, core, roleResource)
  registerMembers(app, core)
  registerGrants(app, core)
}

async function update({ tx }: WriteContext, row: RoleRow, input: Partial<RoleInput>): Promise<WriteResult> {
  await updateColumns(tx, 'roles', row.id, { name: input.name })
  return {}
}

async function remove({ tx, principal }: WriteContext, row: RoleRow): Promise<WriteResult> {
  if (row.managed !== null) throw invalid({ non_field_errors: 'This role is kept by the system.' })
  await requireHeld(tx, principal, { roles: [row.id] })
  await removeRow(tx, 'roles', row.id)
  return {}
}

function registerMembers(app: CoreApp, core: Core): void {
  for (const verb of ['add_user', 'remove_user'] as const)
    app.post(
      `/api/v3/rbac/roles/:uuid/${verb}/`,
      {
        config: { access: { object: 'authentik_rbac.change_role' } },
        schema: {
          operationId: `rbac_roles_${verb}_create`,
          tags: ['rbac'],
          params: Type.Object({ uuid: Uuid }),
          body: Type.Object({ pk: IntegerKey }),
          response: { 204: Empty, ...errorResponses },
        },
      },
      async (request, reply) => {
        await write(core, request, async context => {
          const { tx, principal } = context
          const row = await findFor(roleResource, tx, request, 'change', true)
          await requireReferences(
            tx,
            principal,
            'pk',
            { table: 'users', permission: 'authentik_core.view_user', type: 'int' },
            [request.body.pk],
          )
          await requireHeld(tx, principal, { roles: [row.id] })
          const changeUser = verb === 'add_user' ? addUserToRole : removeUserFromRole
          if ((await changeUser(tx, row.id, request.body.pk)) > 0)
            await audit(context, 'model_updated', modelOf(roleResource, row), { [verb]: request.body.pk })
        })
        return reply.code(204).send()
      },
    )
}

const Grant = Type.Object({
  permissions: Type.Array(Type.String({ minLength: 1 }), { minItems: 1, maxItems: 500 }),
  model: Type.Optional(Type.String()),
  object_pk: Type.Optional(Type.String({ minLength: 1, maxLength: 100 })),
})

/** `assign` and `unassign`: permissions of a role, on every object or on one. */
function registerGrants(app: CoreApp, core: Core): void {
  const permission = 'authentik_rbac.assign_role_permissions'
  const url = '/api/v3/rbac/permissions/assigned_by_roles/:uuid/'
  const params = Type.Object({ uuid: Uuid })
  const config = { access: { object: permission } }
  const tags = ['rbac']
  app.post(
    `${url}assign/`,
    {
      config,
      schema: {
        operationId: 'rbac_permissions_assigned_by_roles_assign',
        tags,
        params,
        body: Grant,
        response: { 200: Type.Array(Type.Object({ id: Type.String() })), ...errorResponses },
      },
    },
    async request =>
      write(core, request, async context => {
        const { tx, principal } = context
        const row = await findFor(roleResource, tx, request, visibleRow(tx, principal, permission), true)
        const { permissions, object_pk: object = null } = request.body
        checkPermissions(permissions)
        await requireHeldPermissions(context, principal, permissions, object)
        await grantPermissions(tx, row.id, permissions, object)
        await audit(context, 'model_updated', modelOf(roleResource, row), {
          granted: { permissions, object },
        })
        return permissions.map(id => ({ id }))
      }),
  )
  app.patch(
    `${url}unassign/`,
    {
      config,
      schema: {
        operationId: 'rbac_permissions_assigned_by_roles_unassign_partial_update',
        tags,
        params,
        body: Grant,
        response: { 204: Empty, ...errorResponses },
      },
    },
    async (request, reply) => {
      await write(core, request, async context => {
        const { tx, principal } = context
        const row = await findFor(roleResource, tx, request, visibleRow(tx, principal, permission), true)
        const { permissions, object_pk: object = null } = request.body
        checkPermissions(permissions)
        await requireHeldPermissions(context, principal, permissions, object)
        await takePermissions(tx, row.id, permissions, object)
        await audit(context, 'model_updated', modelOf(roleResource, row), { taken: { permissions, object } })
      })
      return reply.code(204).send()
    },
  )
}

function checkPermissions(permissions: string[]): void {
  const unknown = permissions.find(permission => !isPermission(permission))
  if (unknown !== undefined) throw invalid({ permissions: `"${unknown}" is not a permission.` })
}

async function requireHeldPermissions(
  { tx }: WriteContext,
  principal: Principal,
  permissions: string[],
  object: string | null,
): Promise<void> {
  for (const permission of permissions)
    if (
      !holds(principal, permission) &&
      (object === null || !(await holdsOnAll(tx, principal, permission, [object])))
    )
      throw permissionDenied()
}
