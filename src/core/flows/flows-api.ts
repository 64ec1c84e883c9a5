// The API of flows, of the stages there are, and of which stage a flow has where. Running them is flows.ts and what it leads to.
import Type from 'typebox'
import { registerResource } from '../api/resource.ts'
import type { Resource } from '../api/resource-definition.ts'
import { findFor } from '../api/resource-write.ts'
import { errorResponses, listQuery, Uuid } from '../api/shapes.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { TypeCreate } from '../providers/type-create.ts'
import type { FlowBindingQuery, FlowBindingRow, StageQuery, StageRow } from './flows-api.sql.ts'
import {
  flowBindingConditions,
  flowBindingOrdering,
  flowBindingTable,
  stageConditions,
  stageOrdering,
  stageTable,
} from './flows-api.sql.ts'
import { FlowSetBody, flowResource, flowSetBody, SlugKey } from './flows-api-instances.ts'
import { findStageType, stageTypes } from './stages.ts'

const StageBody = Type.Object({
  pk: Uuid,
  name: Type.String(),
  component: Type.String(),
  verbose_name: Type.String(),
  verbose_name_plural: Type.String(),
  meta_model_name: Type.String(),
  flow_set: Type.Array(FlowSetBody),
})
const FlowBindingBody = Type.Object({
  pk: Uuid,
  policybindingmodel_ptr_id: Uuid,
  target: Uuid,
  stage: Uuid,
  stage_obj: StageBody,
  evaluate_on_plan: Type.Boolean(),
  re_evaluate_policies: Type.Boolean(),
  order: Type.Integer(),
  policy_engine_mode: Type.Enum(['any', 'all']),
  invalid_response_action: Type.Enum(['retry', 'restart', 'restart_with_context']),
})

const exactly = Type.Optional(Type.String())
const flag = Type.Optional(Type.Boolean())

export const stageResource: Resource<StageRow, object, StageQuery> = {
  path: '/stages/all/',
  parameter: ['stage_uuid', Uuid],
  operation: 'stages_all',
  app: 'authentik_flows',
  model: 'stage',
  body: StageBody,
  query: listQuery({ name: exactly }),
  table: stageTable,
  where: stageConditions,
  ordering: stageOrdering,
  toBody: stageBody,
  label: row => ({ pk: row.id, name: row.name }),
  referrers: [
    {
      table: 'flow_stage_bindings',
      column: 'stage_id',
      app: 'authentik_flows',
      model: 'flowstagebinding',
      name: 'id',
      action: 'cascade',
    },
  ],
}

export const flowBindingResource: Resource<FlowBindingRow, object, FlowBindingQuery> = {
  path: '/flows/bindings/',
  parameter: ['fsb_uuid', Uuid],
  operation: 'flows_bindings',
  app: 'authentik_flows',
  model: 'flowstagebinding',
  body: FlowBindingBody,
  query: listQuery({
    evaluate_on_plan: flag,
    fsb_uuid: Type.Optional(Uuid),
    invalid_response_action: exactly,
    order: Type.Optional(Type.Integer()),
    pbm_uuid: Type.Optional(Uuid),
    policies: Type.Optional(Type.Array(Uuid)),
    policy_engine_mode: exactly,
    re_evaluate_policies: flag,
    stage: Type.Optional(Uuid),
    target: Type.Optional(Uuid),
  }),
  table: flowBindingTable,
  where: flowBindingConditions,
  ordering: flowBindingOrdering,
  defaultOrder: 'target,order',
  toBody: row => ({
    pk: row.id,
    policybindingmodel_ptr_id: row.id,
    target: row.flow_id,
    stage: row.stage_id,
    stage_obj: stageBody({
      id: row.stage_id,
      type: row.stage_type,
      name: row.stage_name,
      flow_set: row.flow_set,
    }),
    evaluate_on_plan: row.evaluate_on_plan,
    re_evaluate_policies: row.re_evaluate_policies,
    order: row.order,
    policy_engine_mode: row.policy_engine_mode,
    invalid_response_action: row.invalid_response_action,
  }),
  label: row => ({ pk: row.id, name: `${row.stage_name} at ${row.order}` }),
  referrers: [
    {
      table: 'policy_bindings',
      column: 'target_id',
      app: 'authentik_policies',
      model: 'policybinding',
      name: 'id',
      action: 'cascade',
    },
  ],
}

export function registerFlowApiRoutes(app: CoreApp, core: Core): void {
  registerResource(app, core, flowResource)
  registerExecute(app, core)
  registerResource(app, core, flowBindingResource)
  registerResource(app, core, stageResource)
  registerStageTypes(app)
}

function registerExecute(app: CoreApp, core: Core): void {
  app.get(
    '/api/v3/flows/instances/:slug/execute/',
    {
      config: { access: { object: 'authentik_flows.view_flow' } },
      schema: {
        operationId: 'flows_instances_execute_retrieve',
        tags: ['flows'],
        params: Type.Object({ slug: SlugKey }),
        response: { 200: Type.Object({ link: Type.String() }), ...errorResponses },
      },
    },
    async request => {
      const flow = await findFor(flowResource, core.db, request, 'view', false)
      return { link: `${core.baseUrl.origin}/if/flow/${encodeURIComponent(flow.slug)}/` }
    },
  )
}

function registerStageTypes(app: CoreApp): void {
  app.get(
    '/api/v3/stages/all/types/',
    {
      config: { access: 'authenticated' },
      schema: {
        operationId: 'stages_all_types_list',
        tags: ['stages'],
        response: { 200: Type.Array(TypeCreate), ...errorResponses },
      },
    },
    () =>
      stageTypes
        .filter(type => type.creatable)
        .map(type => ({
          name: type.verbose_name,
          description: descriptions[type.type] ?? '',
          component: type.component,
          model_name: type.meta_model_name.split('.').at(-1)!,
          requires_enterprise: false,
          deprecated: false,
        })),
  )
}

const descriptions: Record<string, string> = {
  identification: 'Asks who somebody is.',
  password: 'Asks for the password of the account.',
  user_login: 'Signs the user in.',
  user_logout: 'Signs the user out.',
  consent: 'Asks whether an application may have what it wants.',
  deny: 'Ends the flow.',
}

function stageBody(row: StageRow) {
  const type = findStageType(row.type)
  return {
    pk: row.id,
    name: row.name,
    component: type?.component ?? '',
    verbose_name: type?.verbose_name ?? row.type,
    verbose_name_plural: type?.verbose_name_plural ?? row.type,
    meta_model_name: type?.meta_model_name ?? '',
    flow_set: row.flow_set.map(flowSetBody),
  }
}
