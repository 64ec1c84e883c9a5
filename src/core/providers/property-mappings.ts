// `/propertymappings/provider/scope/` and `/propertymappings/all/`: what a scope says about a user, to read and to pick from.
import type { Static } from 'typebox'
import Type from 'typebox'
import { registerResource } from '../api/resource.ts'
import type { Resource } from '../api/resource-definition.ts'
import { errorResponses, listQuery, nullable, Uuid } from '../api/shapes.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import type { MappingQuery, MappingRow } from './property-mappings.sql.ts'
import { mappingConditions, mappingOrdering, mappingTable } from './property-mappings.sql.ts'
import { TypeCreate } from './type-create.ts'

const Mapping = Type.Object({
  pk: Uuid,
  managed: nullable(Type.String()),
  name: Type.String(),
  expression: Type.String(),
  component: Type.String(),
  verbose_name: Type.String(),
  verbose_name_plural: Type.String(),
  meta_model_name: Type.String(),
})
const ScopeMapping = Type.Object({
  ...Mapping.properties,
  scope_name: Type.String(),
  description: Type.String(),
})

const filters = {
  managed: Type.Optional(Type.Array(Type.String())),
  managed__isnull: Type.Optional(Type.Boolean()),
  name: Type.Optional(Type.String()),
}

const kind = {
  component: 'ak-property-mapping-provider-scope-form',
  verbose_name: 'Scope Mapping',
  verbose_name_plural: 'Scope Mappings',
  meta_model_name: 'authentik_providers_oauth2.scopemapping',
}

const shared = {
  parameter: ['pm_uuid', Uuid] as [string, typeof Uuid],
  app: 'authentik_providers_oauth2',
  model: 'scopemapping',
  table: mappingTable,
  where: mappingConditions,
  ordering: mappingOrdering,
  toBody: scopeMapping,
  label: (row: MappingRow) => ({ pk: row.id, name: row.name }),
  referrers: [
    {
      table: 'provider_property_mappings',
      column: 'mapping_id',
      app: 'authentik_providers_oauth2',
      model: 'oauth2provider',
      pk: 'provider_id',
      name: 'provider_id',
      action: 'cascade_many' as const,
    },
  ],
}

export const scopeMappingResource: Resource<MappingRow, object, MappingQuery> = {
  ...shared,
  path: '/propertymappings/provider/scope/',
  operation: 'propertymappings_provider_scope',
  body: ScopeMapping,
  query: listQuery({ ...filters, scope_name: Type.Optional(Type.String()) }),
}

export const allMappingsResource: Resource<MappingRow, object, MappingQuery> = {
  ...shared,
  path: '/propertymappings/all/',
  operation: 'propertymappings_all',
  body: Mapping,
  query: listQuery(filters),
  defaultOrder: 'name',
}

export function registerPropertyMappings(app: CoreApp, core: Core): void {
  registerResource(app, core, scopeMappingResource)
  registerResource(app, core, allMappingsResource)
  app.get(
    '/api/v3/propertymappings/all/types/',
    {
      config: { access: 'authenticated' },
      schema: {
        operationId: 'propertymappings_all_types_list',
        tags: ['propertymappings'],
        response: { 200: Type.Array(TypeCreate), ...errorResponses },
      },
    },
    () => [
      {
        name: kind.verbose_name,
        description: 'Says which claims about a user a scope stands for.',
        component: kind.component,
        model_name: 'scopemapping',
        requires_enterprise: false,
        deprecated: false,
      },
    ],
  )
}

function scopeMapping(row: MappingRow): Static<typeof ScopeMapping> {
  return {
    pk: row.id,
    managed: row.managed,
    name: row.name,
    expression: row.expression,
    ...kind,
    scope_name: row.scope_name,
    description: row.description,
  }
}
