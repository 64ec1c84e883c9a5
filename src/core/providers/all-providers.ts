// `/providers/all/`: providers of every kind, to read and to delete, and the kinds there are.
import Type from 'typebox'
import { registerResource } from '../api/resource.ts'
import type { Resource } from '../api/resource-definition.ts'
import { errorResponses, IntegerKey, listQuery } from '../api/shapes.ts'
import type { Referrer } from '../api/used-by.sql.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import type { ProviderRow } from './provider-shape.ts'
import { ProviderBody, providerBody, providerKinds } from './provider-shape.ts'
import type { ProviderQuery } from './providers.sql.ts'
import { providerConditions, providerOrdering, providerTable, providerVisible } from './providers.sql.ts'
import { removeProvider } from './remove-provider.ts'
import { TypeCreate } from './type-create.ts'

const rule = { by: 'view or delete on providers of the kind, on all of them or on the one' }

/** Who refers to a provider. */
export const providerReferrers: Referrer[] = [
  {
    table: 'applications',
    column: 'provider_id',
    app: 'authentik_core',
    model: 'application',
    action: 'set_null',
  },
  {
    table: 'outpost_providers',
    column: 'provider_id',
    app: 'authentik_outposts',
    model: 'outpost',
    pk: 'outpost_id',
    name: 'outpost_id',
    action: 'cascade_many',
  },
  {
    table: 'jwt_federation_providers',
    column: 'federated_id',
    app: 'authentik_providers_oauth2',
    model: 'oauth2provider',
    pk: 'provider_id',
    name: 'provider_id',
    action: 'cascade_many',
  },
]

export const allProvidersResource: Resource<ProviderRow & { client_id: string }, object, ProviderQuery> = {
  path: '/providers/all/',
  parameter: ['id', IntegerKey],
  operation: 'providers_all',
  app: 'authentik_core',
  model: 'provider',
  body: ProviderBody,
  query: listQuery({
    application__isnull: Type.Optional(Type.Boolean()),
    backchannel: Type.Optional(Type.Boolean()),
  }),
  table: providerTable,
  where: providerConditions,
  ordering: providerOrdering,
  access: { view: rule, delete: rule },
  reach: (db, principal, action) => providerVisible(db, principal, action === 'add' ? 'change' : action),
  toBody: providerBody,
  label: row => ({ pk: row.id, name: row.name }),
  remove: removeProvider,
  referrers: providerReferrers,
}

export function registerAllProviders(app: CoreApp, core: Core): void {
  registerResource(app, core, allProvidersResource)
  app.get(
    '/api/v3/providers/all/types/',
    {
      config: { access: 'authenticated' },
      schema: {
        operationId: 'providers_all_types_list',
        tags: ['providers'],
        response: { 200: Type.Array(TypeCreate), ...errorResponses },
      },
    },
    () =>
      Object.values(providerKinds).map(kind => ({
        name: kind.name,
        description: kind.description,
        component: kind.component,
        model_name: kind.model,
        requires_enterprise: false,
        deprecated: false,
      })),
  )
}
