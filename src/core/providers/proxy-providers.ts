// `/providers/proxy/`: applications protected by an outpost. Client id, secrets, redirect URIs and the kind of client are ours.
import type { Static } from 'typebox'
import Type from 'typebox'
import type { Tx } from '../../pg/db.ts'
import type { WriteContext } from '../api/audit.ts'
import type { Resource, WriteResult } from '../api/resource-definition.ts'
import { IntegerKey, listQuery, nullable, Uuid } from '../api/shapes.ts'
import { ApiError, notFound } from '../errors.ts'
import { providerReferrers } from './all-providers.ts'
import { requireFreeHost } from './free-host.ts'
import { providerBody, providerFields, referencesOf } from './provider-shape.ts'
import { flowIdOf, lockProvider } from './providers.sql.ts'
import type { ProxyQuery, ProxyRow } from './proxy-providers.sql.ts'
import { findProxyProvider, proxyConditions, proxyOrdering, proxyTable } from './proxy-providers.sql.ts'
import { RedirectUriBody } from './redirect-uris.ts'
import { checkReferences } from './references.ts'
import { removeProvider } from './remove-provider.ts'
import type { ProxyCore, ProxyInput } from './save-proxy-provider.ts'
import { insertProxyProvider, saveProxyProvider } from './save-proxy-provider.ts'

const text = (maxLength: number) => Type.String({ maxLength })

/** What is both shown and written, besides the host. */
const settings = {
  internal_host: text(2000),
  internal_host_ssl_validation: Type.Boolean(),
  certificate: nullable(Uuid),
  skip_path_regex: text(100_000),
  basic_auth_enabled: Type.Boolean(),
  basic_auth_user_attribute: text(500),
  basic_auth_password_attribute: text(500),
  mode: Type.Enum(['proxy', 'forward_single', 'forward_domain']),
  intercept_header_auth: Type.Boolean(),
  cookie_domain: text(253),
  jwt_federation_sources: Type.Array(Uuid),
  jwt_federation_providers: Type.Array(IntegerKey),
  access_token_validity: text(255),
  refresh_token_validity: text(255),
}

const ProxyBody = Type.Object({
  ...providerFields,
  client_id: Type.String(),
  external_host: Type.String(),
  ...settings,
  redirect_uris: Type.Array(RedirectUriBody),
  outpost_set: Type.Array(Type.String()),
})

const Input = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 500 }),
  authentication_flow: Type.Optional(nullable(Uuid)),
  authorization_flow: Uuid,
  invalidation_flow: Uuid,
  property_mappings: Type.Optional(Type.Array(Uuid, { maxItems: 1000 })),
  external_host: Type.String({ minLength: 1, maxLength: 2000 }),
  ...Type.Partial(Type.Object(settings)).properties,
  cookie_secret: Type.Optional(Type.String({ minLength: 32, maxLength: 255 })),
})
type Input = Static<typeof Input>

const exactly = Type.Optional(Type.String())
const flag = Type.Optional(Type.Boolean())

export const proxyResource: Resource<ProxyRow, Input, ProxyQuery> = {
  path: '/providers/proxy/',
  parameter: ['id', IntegerKey],
  operation: 'providers_proxy',
  app: 'authentik_providers_proxy',
  model: 'proxyprovider',
  body: ProxyBody,
  write: Input,
  query: listQuery({
    application__isnull: flag,
    authorization_flow__slug__iexact: exactly,
    basic_auth_enabled__iexact: flag,
    basic_auth_password_attribute__iexact: exactly,
    basic_auth_user_attribute__iexact: exactly,
    certificate__kp_uuid__iexact: Type.Optional(Uuid),
    certificate__name__iexact: exactly,
    cookie_domain__iexact: exactly,
    external_host__iexact: exactly,
    internal_host__iexact: exactly,
    internal_host_ssl_validation__iexact: flag,
    mode__iexact: exactly,
    name__iexact: exactly,
    property_mappings__iexact: Type.Optional(Type.Array(Uuid)),
    skip_path_regex__iexact: exactly,
  }),
  table: proxyTable,
  where: proxyConditions,
  ordering: proxyOrdering,
  toBody,
  label: row => ({ pk: row.id, name: row.name }),
  insert,
  update,
  remove: removeProvider,
  unique: { providers_name_key: 'name' },
  referrers: providerReferrers,
}

function toBody(row: ProxyRow): Static<typeof ProxyBody> {
  return {
    ...providerBody(row),
    client_id: row.client_id,
    internal_host: row.internal_host,
    external_host: row.external_host,
    internal_host_ssl_validation: row.internal_host_ssl_validation,
    certificate: row.certificate,
    skip_path_regex: row.skip_path_regex,
    basic_auth_enabled: row.basic_auth_enabled,
    basic_auth_user_attribute: row.basic_auth_user_attribute,
    basic_auth_password_attribute: row.basic_auth_password_attribute,
    mode: row.mode,
    intercept_header_auth: row.intercept_header_auth,
    redirect_uris: row.redirect_uris,
    cookie_domain: row.cookie_domain,
    jwt_federation_sources: [],
    jwt_federation_providers: row.federated,
    access_token_validity: row.access_token_validity,
    refresh_token_validity: row.refresh_token_validity,
    outpost_set: row.outposts,
  }
}

async function insert(context: WriteContext, input: Input): Promise<number> {
  await checkReferences(context, input)
  await requireFreeHost(context, { externalHost: input.external_host, mode: input.mode ?? 'proxy' })
  return (await insertProxyProvider(context.tx, context.core, input)).pk
}

async function update(context: WriteContext, { id }: ProxyRow, input: Partial<Input>): Promise<WriteResult> {
  const { core, tx } = context
  // The row is locked by now, but its parts in other tables were read before whoever held the lock was done.
  const row = await findProxyProvider(tx, id)
  if (row === undefined) throw notFound()
  await checkReferences(context, input, {
    ...referencesOf(row),
    certificate: row.certificate,
    jwt_federation_providers: row.federated,
  })
  const externalHost = input.external_host ?? row.external_host
  const mode = input.mode ?? row.mode
  if (externalHost !== row.external_host || mode !== row.mode)
    await requireFreeHost(context, { externalHost, mode, except: id })
  return saveProxyProvider(tx, core, row, input)
}

/** A proxy provider made by a program: flows by slug, everything else as in the API. */
export interface NewProxyProvider extends Omit<ProxyInput, 'authorization_flow' | 'invalidation_flow'> {
  authorizationFlowSlug: string
  invalidationFlowSlug: string
}

/**
 * Creates a proxy provider; it is served once it has an application and an outpost.
 * @returns its id, and the client id that was made for it
 * @throws ApiError 400 for settings that cannot work or a flow that is not there; the database's error for a name that is taken
 */
export async function createProxyProvider(
  tx: Tx,
  core: ProxyCore,
  input: NewProxyProvider,
): Promise<{ pk: number; clientId: string }> {
  const { authorizationFlowSlug, invalidationFlowSlug, ...rest } = input
  return insertProxyProvider(tx, core, {
    ...rest,
    authorization_flow: await requireFlow(tx, authorizationFlowSlug),
    invalidation_flow: await requireFlow(tx, invalidationFlowSlug),
  })
}

async function requireFlow(tx: Tx, slug: string): Promise<string> {
  const id = await flowIdOf(tx, slug)
  if (id === undefined) throw new ApiError(400, `There is no flow "${slug}".`)
  return id
}

/**
 * Moves a proxy provider to other addresses: redirect URIs follow, its outposts are told.
 * @throws ApiError 404 when it is gone, 400 for addresses that cannot work
 */
export async function updateProxyProviderHosts(
  tx: Tx,
  core: ProxyCore,
  pk: number,
  hosts: { external_host: string; internal_host: string },
): Promise<void> {
  await lockProvider(tx, pk)
  const row = await findProxyProvider(tx, pk)
  if (row === undefined) throw notFound()
  await saveProxyProvider(tx, core, row, hosts)
}
