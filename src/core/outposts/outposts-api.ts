// `/outposts/instances/`: outposts as administrators write them and as each outpost reads its own row. Saving one repairs its account,
// token and permissions in the same transaction and tells its processes after commit.
import type { Static } from 'typebox'
import Type from 'typebox'
import { embeddedOutpostManaged } from '../../wire/outpost.ts'
import type { WriteContext } from '../api/audit.ts'
import { updateColumns } from '../api/resource.sql.ts'
import { registerResource } from '../api/resource.ts'
import type { Resource, WriteResult } from '../api/resource-definition.ts'
import { findFor } from '../api/resource-write.ts'
import { errorResponses, IntegerKey, Json, listQuery, nullable, Uuid } from '../api/shapes.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { invalid } from '../errors.ts'
import { setProviders } from './account.sql.ts'
import { createOutpost, deleteOutpost, embeddedOutpostName, ensureAccounts } from './account.ts'
import { outpostsChanged } from './changed.ts'
import { defaultConfig } from './config.ts'
import { InstanceHealth, instanceHealth } from './health.ts'
import {
  checkConnection,
  checkedConfig,
  checkProviders,
  embeddedMarkIsOurs,
  managedOf,
  warnOfConfig,
} from './outpost-rules.ts'
import { OutpostBody, OutpostTypeName, outpostBody } from './outpost-shape.ts'
import type { OutpostQuery, OutpostRow } from './outposts.sql.ts'
import { liveInstances, outpostConditions, outpostOrdering, outpostTable } from './outposts.sql.ts'

const OutpostInput = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 200 }),
  type: OutpostTypeName,
  providers: Type.Array(IntegerKey, { maxItems: 10_000 }),
  service_connection: Type.Optional(nullable(Uuid)),
  config: Json,
  managed: Type.Optional(nullable(Type.String({ minLength: 1, maxLength: 255 }))),
})
type OutpostInput = Static<typeof OutpostInput>

const text = Type.Optional(Type.String())

export const outpostResource: Resource<OutpostRow, OutpostInput, OutpostQuery> = {
  path: '/outposts/instances/',
  parameter: ['uuid', Uuid],
  operation: 'outposts_instances',
  app: 'authentik_outposts',
  model: 'outpost',
  body: OutpostBody,
  write: OutpostInput,
  query: listQuery({
    managed__icontains: text,
    managed__iexact: text,
    name__icontains: text,
    name__iexact: text,
    providers__isnull: Type.Optional(Type.Boolean()),
    providers_by_pk: Type.Optional(Type.Array(IntegerKey)),
    service_connection__name__icontains: text,
    service_connection__name__iexact: text,
  }),
  table: outpostTable,
  where: outpostConditions,
  ordering: outpostOrdering,
  defaultOrder: 'name,service_connection__name',
  toBody: outpostBody,
  label: row => ({ pk: row.id, name: row.name }),
  insert,
  update,
  remove,
  unique: { outposts_name_key: 'name', outposts_managed_key: 'managed' },
}

export function registerOutpostResource(app: CoreApp, core: Core): void {
  registerResource(app, core, outpostResource)
  const item = '/api/v3/outposts/instances/:uuid/'
  app.get(
    `${item}health/`,
    {
      config: { access: { object: 'authentik_outposts.view_outpost' } },
      schema: {
        operationId: 'outposts_instances_health_list',
        tags: ['outposts'],
        params: Type.Object({ uuid: Uuid }),
        response: { 200: Type.Array(InstanceHealth), ...errorResponses },
      },
    },
    async request => {
      const outpost = await findFor(outpostResource, core.db, request, 'view', false)
      return (await liveInstances(core.db, outpost.id)).map(instance => instanceHealth(core, instance))
    },
  )
  app.get(
    '/api/v3/outposts/instances/default_settings/',
    {
      config: { access: 'authenticated' },
      schema: {
        operationId: 'outposts_instances_default_settings_retrieve',
        tags: ['outposts'],
        response: { 200: Type.Object({ config: Json }), ...errorResponses },
      },
    },
    request => {
      const { scheme, host } = request.client
      const root = host === '' ? `${core.baseUrl.origin}/` : `${scheme}://${host}/`
      return { config: { ...defaultConfig(), authentik_host: root } }
    },
  )
}

async function insert(context: WriteContext, input: OutpostInput): Promise<string> {
  const { core, tx } = context
  if (input.managed === embeddedOutpostManaged) throw invalid({ managed: embeddedMarkIsOurs })
  await checkProviders(context, input.type, input.providers, input.name === embeddedOutpostName)
  await checkConnection(context, input.service_connection)
  const config = checkedConfig(input.config)
  const { id } = await createOutpost(tx, core, {
    name: input.name,
    type: input.type,
    providers: input.providers,
    config,
    managed: input.managed,
    serviceConnection: input.service_connection,
  })
  await warnOfConfig(context, { id, name: input.name, config, connection: input.service_connection ?? null })
  return id
}

async function update(
  context: WriteContext,
  row: OutpostRow,
  input: Partial<OutpostInput>,
): Promise<WriteResult> {
  const { core, tx } = context
  const embedded = row.managed === embeddedOutpostManaged || row.name === embeddedOutpostName
  const managed = managedOf(row, input, embedded)
  const type = input.type ?? row.type
  if (embedded && type !== 'proxy') throw invalid({ type: 'The embedded outpost is always of type proxy.' })
  const providers = input.providers ?? row.providers.map(provider => provider.id)
  if (input.providers !== undefined || type !== row.type)
    await checkProviders(
      context,
      type,
      providers,
      embedded,
      row.providers.map(provider => provider.id),
    )
  await checkConnection(context, input.service_connection)
  const config = input.config === undefined ? row.config : checkedConfig(input.config)
  const connection = input.service_connection === undefined ? row.connection_id : input.service_connection
  const before = [row.name, row.type, row.managed, row.connection_id, row.config]
  const after = [input.name ?? row.name, type, managed, connection, config]
  const differs = JSON.stringify(before) !== JSON.stringify(after)
  if (differs)
    await updateColumns(tx, 'outposts', row.id, {
      name: input.name,
      type,
      managed,
      service_connection_id: connection,
      config: JSON.stringify(config),
    })
  const moved = await setProviders(tx, row.id, providers)
  await ensureAccounts(tx, core, [row.id])
  if (differs || moved > 0) await outpostsChanged(tx, core, { outposts: [row.id] })
  if (differs) await warnOfConfig(context, { id: row.id, name: input.name ?? row.name, config, connection })
  return {}
}

async function remove({ core, tx }: WriteContext, row: OutpostRow): Promise<WriteResult> {
  await deleteOutpost(tx, core, row.id)
  return {}
}
