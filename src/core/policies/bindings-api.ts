// `/policies/bindings/`: which users and groups an application, a flow or a stage of a flow is for. A binding decides over its target,
// so whoever writes one must be allowed to change the target too: otherwise the right to bind would open every application and skip any
// stage of a login.
import type { Static } from 'typebox'
import Type from 'typebox'
import type { WriteContext } from '../api/audit.ts'
import { requireReferences } from '../api/references.sql.ts'
import { insertColumns, removeRow, updateColumns } from '../api/resource.sql.ts'
import { registerResource } from '../api/resource.ts'
import type { Resource, WriteResult } from '../api/resource-definition.ts'
import { IntegerKey, isoOrNull, Json, listQuery, nullable, Time, Uuid } from '../api/shapes.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { ApiError, invalid } from '../errors.ts'
import type { BindingQuery, BindingRow } from './bindings-api.sql.ts'
import {
  bindingConditions,
  bindingOrdering,
  bindingTable,
  findTarget,
  raiseFlowVersions,
} from './bindings-api.sql.ts'
import { accessChanged } from './lost-access.ts'

const Order = Type.Integer({ minimum: -2_147_483_648, maximum: 2_147_483_647 })
const Seconds = Type.Integer({ minimum: 0, maximum: 2_147_483_647 })

const BindingBody = Type.Object({
  pk: Uuid,
  policy: nullable(Uuid),
  group: nullable(Uuid),
  user: nullable(Type.Integer()),
  policy_obj: nullable(Json),
  group_obj: nullable(Json),
  user_obj: nullable(Json),
  target: Uuid,
  negate: Type.Boolean(),
  enabled: Type.Boolean(),
  order: Type.Integer(),
  timeout: Type.Integer(),
  failure_result: Type.Boolean(),
  expires: nullable(Time),
  expiring: Type.Boolean(),
})
const BindingInput = Type.Object({
  policy: Type.Optional(nullable(Uuid)),
  group: Type.Optional(nullable(Uuid)),
  user: Type.Optional(nullable(IntegerKey)),
  target: Uuid,
  negate: Type.Optional(Type.Boolean()),
  enabled: Type.Optional(Type.Boolean()),
  order: Order,
  timeout: Type.Optional(Seconds),
  failure_result: Type.Optional(Type.Boolean()),
  /** an expired binding lets nobody in, and keeps counting as one */
  expires: Type.Optional(nullable(Time)),
})
type BindingInput = Static<typeof BindingInput>

export const bindingResource: Resource<BindingRow, BindingInput, BindingQuery> = {
  path: '/policies/bindings/',
  parameter: ['policy_binding_uuid', Uuid],
  operation: 'policies_bindings',
  app: 'authentik_policies',
  model: 'policybinding',
  body: BindingBody,
  write: BindingInput,
  query: listQuery({
    enabled: Type.Optional(Type.Boolean()),
    order: Type.Optional(Type.Integer()),
    policy: Type.Optional(Uuid),
    policy__isnull: Type.Optional(Type.Boolean()),
    target: Type.Optional(Uuid),
    target_in: Type.Optional(Type.Array(Uuid)),
    timeout: Type.Optional(Type.Integer()),
  }),
  table: bindingTable,
  where: bindingConditions,
  ordering: bindingOrdering,
  toBody: row => ({
    pk: row.id,
    policy: null,
    group: row.group_id,
    user: row.user_id,
    policy_obj: null,
    group_obj: row.group_obj,
    user_obj: row.user_obj,
    target: row.target_id,
    negate: row.negate,
    enabled: row.enabled,
    order: row.order,
    timeout: row.timeout,
    failure_result: row.failure_result,
    expires: isoOrNull(row.expires_at),
    expiring: row.expires_at !== null,
  }),
  label: row => ({ pk: row.id, name: `binding of ${row.target_id}` }),
  insert,
  update,
  remove,
}

export function registerBindingRoutes(app: CoreApp, core: Core): void {
  registerResource(app, core, bindingResource)
}

async function insert(context: WriteContext, input: BindingInput): Promise<string> {
  const { core, tx } = context
  await check(context, input, { user_id: null, group_id: null })
  await requireTarget(context, input.target)
  const id = await insertColumns<string>(tx, 'policy_bindings', columnsOf(input))
  await raiseFlowVersions(tx, [input.target])
  await accessChanged(tx, core.bus, { applications: [input.target] })
  return id
}

async function update(
  context: WriteContext,
  row: BindingRow,
  input: Partial<BindingInput>,
): Promise<WriteResult> {
  const { core, tx } = context
  await check(context, input, row)
  await requireTarget(context, row.target_id, true)
  if (input.target !== undefined && input.target !== row.target_id) await requireTarget(context, input.target)
  await updateColumns(tx, 'policy_bindings', row.id, columnsOf(input))
  const targets = [row.target_id, input.target ?? row.target_id]
  await raiseFlowVersions(tx, targets)
  return accessChanged(tx, core.bus, { applications: targets })
}

async function remove(context: WriteContext, row: BindingRow): Promise<WriteResult> {
  const { core, tx } = context
  await requireTarget(context, row.target_id, true)
  await removeRow(tx, 'policy_bindings', row.id)
  await raiseFlowVersions(tx, [row.target_id])
  return accessChanged(tx, core.bus, { applications: [row.target_id] })
}

/** @throws ApiError 400 unless the result names exactly one user or group, and the caller may view it */
async function check(
  { tx, principal }: WriteContext,
  input: Partial<BindingInput>,
  before: Pick<BindingRow, 'user_id' | 'group_id'>,
): Promise<void> {
  if (typeof input.policy === 'string')
    throw invalid({ policy: `Invalid pk "${input.policy}" - object does not exist.` })
  const user = input.user === undefined ? before.user_id : input.user
  const group = input.group === undefined ? before.group_id : input.group
  if ((user === null) === (group === null))
    throw invalid({ non_field_errors: "One of 'group' and 'user' must be set, and not both." })
  const users = { table: 'users', permission: 'authentik_core.view_user', type: 'int' } as const
  const groups = { table: 'groups', permission: 'authentik_core.view_group', type: 'uuid' } as const
  await requireReferences(tx, principal, 'user', users, [input.user])
  await requireReferences(tx, principal, 'group', groups, [input.group])
}

/**
 * @param mayBeGone of a binding that is there: its target may have been deleted, and then it decides over nothing
 * @throws ApiError 400 when the caller may not view it, 403 when he may not change it
 */
async function requireTarget({ tx, principal }: WriteContext, id: string, mayBeGone = false): Promise<void> {
  const target = await findTarget(tx, principal, id)
  if (target === undefined && mayBeGone) return
  if (target?.visible !== true) throw invalid({ target: `Invalid pk "${id}" - object does not exist.` })
  if (!target.changeable)
    throw new ApiError(403, 'You may not change what this binding decides over.', {
      code: 'permission_denied',
    })
}

function columnsOf(input: Partial<BindingInput>): Record<string, unknown> {
  return {
    target_id: input.target,
    user_id: input.user,
    group_id: input.group,
    negate: input.negate,
    enabled: input.enabled,
    order: input.order,
    timeout: input.timeout,
    failure_result: input.failure_result,
    expires_at: input.expires,
  }
}
