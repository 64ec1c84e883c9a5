// `/outposts/service_connections/`: where outposts can be deployed, Docker engines and Kubernetes clusters.
import type { TObject } from 'typebox'
import Type from 'typebox'
import { principalOf } from '../access.ts'
import type { WriteContext } from '../api/audit.ts'
import { insertColumns, removeRow, updateColumns } from '../api/resource.sql.ts'
import { registerResource } from '../api/resource.ts'
import type { Resource, WriteResult } from '../api/resource-definition.ts'
import { findFor } from '../api/resource-write.ts'
import { errorResponses, Json, listQuery, nullable, Uuid } from '../api/shapes.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { holds } from '../sessions/principal.ts'
import { outpostsChanged } from './changed.ts'
import {
  DockerInput,
  dockerColumns,
  KubernetesInput,
  kubernetesColumns,
  storedKubeconfig,
} from './connection-input.ts'
import type { ConnectionType } from './connection-shape.ts'
import { ConnectionBody, connectionBody, connectionFields, connectionTypes } from './connection-shape.ts'
import { checkConnection } from './connection-state.ts'
import type { ConnectionQuery, ConnectionRow } from './connections.sql.ts'
import {
  clearState,
  connectionConditions,
  connectionOrdering,
  connectionTable,
  outpostsOfConnection,
} from './connections.sql.ts'

const shared = {
  parameter: ['uuid', Uuid] as [string, typeof Uuid],
  app: 'authentik_outposts',
  where: connectionConditions,
  ordering: connectionOrdering,
  label: (row: ConnectionRow) => ({ pk: row.id, name: row.name }),
  unique: { service_connections_name_key: 'name' },
  remove,
  referrers: [
    {
      table: 'outposts',
      column: 'service_connection_id',
      app: 'authentik_outposts',
      model: 'outpost',
      action: 'set_null' as const,
    },
  ],
}

const anyConnection: Resource<ConnectionRow, object, ConnectionQuery> = {
  ...shared,
  path: '/outposts/service_connections/all/',
  operation: 'outposts_service_connections_all',
  model: 'outpostserviceconnection',
  body: ConnectionBody,
  query: listQuery({ name: Type.Optional(Type.String()) }),
  table: db => connectionTable(db),
  toBody: connectionBody,
}

const dockerConnection: Resource<ConnectionRow, DockerInput, ConnectionQuery> = {
  ...shared,
  path: '/outposts/service_connections/docker/',
  operation: 'outposts_service_connections_docker',
  model: 'dockerserviceconnection',
  body: Type.Object({
    ...connectionFields,
    url: Type.String(),
    tls_verification: nullable(Uuid),
    tls_authentication: nullable(Uuid),
  }),
  write: DockerInput,
  query: connectionQuery({
    url: Type.Optional(Type.String()),
    tls_verification: Type.Optional(Uuid),
    tls_authentication: Type.Optional(Uuid),
  }),
  table: db => connectionTable(db, 'docker'),
  toBody: row => ({
    ...connectionBody(row),
    url: row.config.url ?? '',
    tls_verification: row.config.tls_verification ?? null,
    tls_authentication: row.config.tls_authentication ?? null,
  }),
  insert: (context, input) => save(context, 'docker', null, input, () => dockerColumns(context, {}, input)),
  update: async (context, row, input) => {
    await save(context, 'docker', row.id, input, () => dockerColumns(context, row.config, input))
    return {}
  },
}

const changeKubernetes = 'authentik_outposts.change_kubernetesserviceconnection'

const kubernetesConnection: Resource<ConnectionRow, KubernetesInput, ConnectionQuery> = {
  ...shared,
  path: '/outposts/service_connections/kubernetes/',
  operation: 'outposts_service_connections_kubernetes',
  model: 'kubernetesserviceconnection',
  body: Type.Object({ ...connectionFields, kubeconfig: Json, verify_ssl: Type.Boolean() }),
  write: KubernetesInput,
  query: connectionQuery({}),
  table: db => connectionTable(db, 'kubernetes'),
  // It holds credentials of the cluster: only who may replace them reads them.
  toBody: (row, { core, request }) => ({
    ...connectionBody(row),
    kubeconfig: holds(principalOf(request), changeKubernetes) ? storedKubeconfig(core, row) : {},
    verify_ssl: row.config.verify_ssl ?? true,
  }),
  insert: (context, input) =>
    save(context, 'kubernetes', null, input, () => kubernetesColumns(context, null, input)),
  update: async (context, row, input) => {
    await save(context, 'kubernetes', row.id, input, () => kubernetesColumns(context, row, input))
    return {}
  },
}

export function registerConnectionRoutes(app: CoreApp, core: Core): void {
  registerResource(app, core, anyConnection)
  registerResource(app, core, dockerConnection)
  registerResource(app, core, kubernetesConnection)
  const path = '/api/v3/outposts/service_connections/all/'
  app.get(
    `${path}types/`,
    {
      config: { access: 'authenticated' },
      schema: {
        operationId: 'outposts_service_connections_all_types_list',
        tags: ['outposts'],
        response: { 200: Type.Array(TypeBody), ...errorResponses },
      },
    },
    () => connectionTypes,
  )
  app.get(
    `${path}:uuid/state/`,
    {
      config: { access: { object: 'authentik_outposts.view_outpostserviceconnection' } },
      schema: {
        operationId: 'outposts_service_connections_all_state_retrieve',
        tags: ['outposts'],
        params: Type.Object({ uuid: Uuid }),
        response: {
          200: Type.Object({ healthy: Type.Boolean(), version: Type.String() }),
          ...errorResponses,
        },
      },
    },
    async request => {
      const row = await findFor(anyConnection, core.db, request, 'view', false)
      return row.state ?? (await checkConnection(core, row))
    },
  )
}

const TypeBody = Type.Object({
  name: Type.String(),
  description: Type.String(),
  component: Type.String(),
  model_name: Type.String(),
  icon_url: Type.String(),
  requires_enterprise: Type.Boolean(),
  deprecated: Type.Boolean(),
})

function connectionQuery(filters: Parameters<typeof listQuery>[0]): TObject {
  const own = { name: Type.Optional(Type.String()), local: Type.Optional(Type.Boolean()) }
  return listQuery({ ...own, ...filters })
}

/** Writes the row, forgets what was known of its state, and rings the outposts deployed there. @returns its id */
async function save(
  { core, tx }: WriteContext,
  type: ConnectionType,
  id: string | null,
  input: { name?: string; local?: boolean },
  own: () => Promise<Record<string, unknown>>,
): Promise<string> {
  const columns = { name: input.name, local: input.local, ...(await own()) }
  if (id === null) return insertColumns<string>(tx, 'service_connections', { type, ...columns })
  await updateColumns(tx, 'service_connections', id, columns)
  await clearState(tx, id)
  await outpostsChanged(tx, core, { outposts: await outpostsOfConnection(tx, id) })
  return id
}

async function remove({ core, tx }: WriteContext, row: ConnectionRow): Promise<WriteResult> {
  const outposts = await outpostsOfConnection(tx, row.id)
  await removeRow(tx, 'service_connections', row.id)
  await outpostsChanged(tx, core, { outposts })
  return {}
}
