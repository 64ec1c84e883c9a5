// `/flows/instances/`: flows as administrators write them. Every change makes plans of the flow start over.
import type { Static } from 'typebox'
import Type from 'typebox'
import type { WriteContext } from '../api/audit.ts'
import { insertColumns, updateColumns } from '../api/resource.sql.ts'
import type { Resource, WriteResult } from '../api/resource-definition.ts'
import { listQuery, nullable, Uuid } from '../api/shapes.ts'
import { invalid } from '../errors.ts'
import { imageAddress, isImageAddress } from '../media/address.ts'
import { raiseFlowVersions } from '../policies/bindings-api.sql.ts'
import type { FlowQuery, FlowRow, FlowSetRow } from './flows-api.sql.ts'
import { deleteFlow, flowConditions, flowOrdering, flowTable, providersOfFlow } from './flows-api.sql.ts'

const Designation = Type.Enum([
  'authentication',
  'authorization',
  'invalidation',
  'enrollment',
  'unenrollment',
  'recovery',
  'stage_configuration',
])
const settings = {
  background: Type.String({ maxLength: 2000 }),
  policy_engine_mode: Type.Enum(['any', 'all']),
  compatibility_mode: Type.Boolean(),
  layout: Type.Enum([
    'stacked',
    'content_left',
    'content_right',
    'sidebar_left',
    'sidebar_right',
    'sidebar_left_frame_background',
    'sidebar_right_frame_background',
  ]),
  denied_action: Type.Enum(['message_continue', 'message', 'continue']),
}
const authentication = Type.Enum([
  'none',
  'require_authenticated',
  'require_unauthenticated',
  'require_superuser',
  'require_redirect',
  'require_outpost',
  'require_token',
])

/** A flow as it is nested in stages. */
export const FlowSetBody = Type.Object({
  pk: Uuid,
  policybindingmodel_ptr_id: Uuid,
  name: Type.String(),
  slug: Type.String(),
  title: Type.String(),
  designation: Designation,
  background_url: Type.String(),
  export_url: Type.String(),
  policy_engine_mode: settings.policy_engine_mode,
  compatibility_mode: settings.compatibility_mode,
  layout: settings.layout,
  denied_action: settings.denied_action,
})

const FlowBody = Type.Object({
  ...FlowSetBody.properties,
  background: settings.background,
  background_themed_urls: nullable(Type.Object({ light: Type.String(), dark: Type.String() })),
  stages: Type.Array(Uuid),
  policies: Type.Array(Uuid),
  cache_count: Type.Integer(),
  authentication,
})
/** The last part of a path; a character that PostgreSQL cannot store is in no slug. */
export const SlugKey = Type.String({ maxLength: 255, pattern: '^[^\\u0000]+$' })
const FlowInput = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 500 }),
  slug: Type.String({ minLength: 1, maxLength: 100, pattern: '^[-a-zA-Z0-9_]+$' }),
  title: Type.String({ minLength: 1, maxLength: 500 }),
  designation: Designation,
  ...Type.Partial(Type.Object({ ...settings, authentication })).properties,
})
type FlowInput = Static<typeof FlowInput>

const exactly = Type.Optional(Type.String())
const flowColumn = (column: string) => ({
  column,
  app: 'authentik_providers_oauth2',
  model: 'oauth2provider',
})

export const flowResource: Resource<FlowRow, FlowInput, FlowQuery> = {
  path: '/flows/instances/',
  parameter: ['slug', SlugKey],
  operation: 'flows_instances',
  app: 'authentik_flows',
  model: 'flow',
  body: FlowBody,
  write: FlowInput,
  query: listQuery({
    denied_action: exactly,
    designation: exactly,
    flow_uuid: Type.Optional(Uuid),
    name: exactly,
    slug: exactly,
  }),
  table: flowTable,
  where: flowConditions,
  ordering: flowOrdering,
  toBody: row => ({
    ...flowSetBody(row),
    background: row.background,
    background_themed_urls: imageAddress(row.background).themed,
    stages: row.stages,
    policies: [],
    cache_count: 0,
    authentication: row.authentication,
  }),
  label: row => ({ pk: row.id, name: row.slug }),
  insert,
  update,
  remove,
  unique: { flows_slug_key: 'slug' },
  referrers: [
    { table: 'providers', ...flowColumn('authentication_flow_id'), action: 'set_null' },
    { table: 'providers', ...flowColumn('authorization_flow_id'), action: 'left_dangling' },
    { table: 'providers', ...flowColumn('invalidation_flow_id'), action: 'left_dangling' },
    {
      table: 'flow_stage_bindings',
      column: 'flow_id',
      app: 'authentik_flows',
      model: 'flowstagebinding',
      name: 'id',
      action: 'cascade',
    },
    {
      table: 'policy_bindings',
      column: 'target_id',
      app: 'authentik_policies',
      model: 'policybinding',
      name: 'id',
      action: 'cascade',
    },
    ...['authentication', 'invalidation', 'recovery', 'unenrollment', 'user_settings', 'device_code'].map(
      use => ({
        table: 'brands',
        column: `flow_${use}_id`,
        app: 'authentik_core',
        model: 'brand',
        name: 'domain',
        action: 'set_null' as const,
      }),
    ),
  ],
}

export function flowSetBody(row: FlowSetRow): Static<typeof FlowSetBody> {
  return {
    pk: row.id,
    policybindingmodel_ptr_id: row.id,
    name: row.name,
    slug: row.slug,
    title: row.title,
    designation: row.designation as Static<typeof Designation>,
    background_url: imageAddress(row.background).url ?? '',
    // There is no export of flows.
    export_url: '',
    policy_engine_mode: row.policy_engine_mode,
    compatibility_mode: row.compatibility_mode,
    layout: row.layout as Static<typeof settings.layout>,
    denied_action: row.denied_action as Static<typeof settings.denied_action>,
  }
}

async function insert({ tx }: WriteContext, input: FlowInput): Promise<string> {
  check(input)
  return insertColumns<string>(tx, 'flows', columnsOf(input))
}

async function update({ tx }: WriteContext, row: FlowRow, input: Partial<FlowInput>): Promise<WriteResult> {
  check(input)
  await updateColumns(tx, 'flows', row.id, columnsOf(input))
  await raiseFlowVersions(tx, [row.id])
  return {}
}

async function remove({ tx, principal }: WriteContext, row: FlowRow): Promise<WriteResult> {
  const providers = await providersOfFlow(tx, principal, row.id)
  if (providers.length > 0) {
    const names = providers.filter(name => name !== null).join(', ')
    throw invalid({
      non_field_errors: `Providers use this flow: give them another one first${names === '' ? '' : ` (${names})`}.`,
    })
  }
  await deleteFlow(tx, row.id)
  return {}
}

function columnsOf(input: Partial<FlowInput>): Record<string, unknown> {
  return {
    name: input.name,
    slug: input.slug,
    title: input.title,
    designation: input.designation,
    background: input.background,
    policy_engine_mode: input.policy_engine_mode,
    compatibility_mode: input.compatibility_mode,
    layout: input.layout,
    denied_action: input.denied_action,
    authentication: input.authentication,
  }
}

function check(input: Partial<FlowInput>): void {
  if (!isImageAddress(input.background ?? ''))
    throw invalid({
      background:
        'Enter the name of a media file, a path, or an address that begins with http:// or https://.',
    })
}
