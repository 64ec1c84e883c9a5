// `/outposts/service_connections/`: where outposts can be deployed, Docker engines and Kubernetes clusters.
import type { Static, TObject } from 'typebox'
import Type from 'typebox'
import { principalOf } from '../access.ts'
import type { WriteContext } from '../api/audit.ts'
import { requireReferences } from '../api/references.sql.ts'
import { insertColumns, removeRow, updateColumns } from '../api/resource.sql.ts'
import { registerResource } from '../api/resource.ts'
import type { Resource, WriteResult } from '../api/resource-definition.ts'
import { findFor } from '../api/resource-write.ts'
import { errorResponses, Json, listQuery, nullable, Uuid } from '../api/shapes.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { invalid } from '../errors.ts'
import { holds } from '../sessions/principal.ts'
import { outpostsChanged } from './changed.ts'
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
import { KubeconfigError, parseKubeconfig, resolveKubeconfig } from './kubeconfig.ts'

const name = Type.String({ minLength: 1, maxLength: 200 })
const local = Type.Optional(Type.Boolean())
const pair = Type.Optional(nullable(Uuid))

const DockerInput = Type.Object({
  name,
  local,
  url: Type.String({ minLength: 1, maxLength: 2000 }),
  tls_verification: pair,
  tls_authentication: pair,
})
const KubernetesInput = Type.Object({
  name,
  local,
  kubeconfig: Type.Optional(Type.Union([Json, Type.String({ maxLength: 500_000 })])),
  verify_ssl: Type.Optional(Type.Boolean()),
})
type DockerInput = Static<typeof DockerInput>
type KubernetesInput = Static<typeof KubernetesInput>

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

async function dockerColumns(
  { tx, principal }: WriteContext,
  stored: ConnectionRow['config'],
  input: Partial<DockerInput>,
): Promise<Record<string, unknown>> {
  if (input.url !== undefined && !isDockerUrl(input.url))
    throw invalid({
      url: 'Enter an address that begins with unix://, http://, https:// or ssh://, without credentials.',
    })
  for (const field of ['tls_verification', 'tls_authentication'] as const) {
    const permission = 'authentik_crypto.view_certificatekeypair'
    const reference = { table: 'certificate_keypairs', permission, type: 'uuid' as const }
    await requireReferences(tx, principal, field, reference, [input[field]])
  }
  const { url, tls_verification, tls_authentication } = { ...stored, ...defined(input) }
  return { config: JSON.stringify({ url, tls_verification, tls_authentication }) }
}

async function kubernetesColumns(
  { core }: WriteContext,
  row: ConnectionRow | null,
  input: Partial<KubernetesInput>,
): Promise<Record<string, unknown>> {
  const verify = input.verify_ssl ?? row?.config.verify_ssl ?? true
  const config = JSON.stringify({ verify_ssl: verify })
  const isLocal = input.local ?? row?.local ?? false
  const given =
    input.kubeconfig === undefined && row !== null ? undefined : checkedKubeconfig(input.kubeconfig ?? {})
  const stored = given === undefined ? row?.kubeconfig_sealed != null : Object.keys(given).length > 0
  if (!stored && !isLocal)
    throw invalid({ kubeconfig: 'You can only use an empty kubeconfig when connecting to a local cluster.' })
  if (given === undefined) return { config }
  return { config, kubeconfig_sealed: stored ? core.secrets.seal('kubeconfig', JSON.stringify(given)) : null }
}

function checkedKubeconfig(given: unknown): Record<string, unknown> {
  try {
    const config = parseKubeconfig(given)
    if (Object.keys(config).length > 0) resolveKubeconfig(config)
    return config
  } catch (error) {
    if (error instanceof KubeconfigError) throw invalid({ kubeconfig: error.message })
    throw error
  }
}

function storedKubeconfig(core: Pick<Core, 'secrets'>, row: ConnectionRow): Record<string, unknown> {
  if (row.kubeconfig_sealed === null) return {}
  return parseKubeconfig(core.secrets.open('kubeconfig', row.kubeconfig_sealed))
}

function isDockerUrl(text: string): boolean {
  const url = URL.parse(text)
  if (url === null) return false
  if (url.protocol === 'unix:') return url.pathname.length > 1
  const plain = url.password === '' && (url.username === '' || url.protocol === 'ssh:')
  return plain && ['http:', 'https:', 'ssh:'].includes(url.protocol) && url.host !== ''
}

function defined<T extends object>(input: T): Partial<T> {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as Partial<T>
}
