// How an outpost looks in the API.
import type { Static } from 'typebox'
import Type from 'typebox'
import { Json, nullable, Uuid } from '../api/shapes.ts'
import { tokenIdentifierOf } from './account.ts'
import { readConfig, refreshSeconds } from './config.ts'
import { ConnectionBody, connectionBody } from './connection-shape.ts'
import type { AttachedProvider, OutpostRow } from './outposts.sql.ts'

export const OutpostTypeName = Type.Enum(['proxy', 'ldap', 'radius', 'rac'])

const ProviderBody = Type.Object({
  pk: Type.Integer(),
  name: Type.String(),
  authentication_flow: nullable(Uuid),
  authorization_flow: Uuid,
  invalidation_flow: Uuid,
  property_mappings: Type.Array(Uuid),
  component: Type.String(),
  assigned_application_slug: nullable(Type.String()),
  assigned_application_name: nullable(Type.String()),
  assigned_backchannel_application_slug: nullable(Type.String()),
  assigned_backchannel_application_name: nullable(Type.String()),
  verbose_name: Type.String(),
  verbose_name_plural: Type.String(),
  meta_model_name: Type.String(),
})

export const OutpostBody = Type.Object({
  pk: Uuid,
  name: Type.String(),
  type: OutpostTypeName,
  providers: Type.Array(Type.Integer()),
  providers_obj: Type.Array(ProviderBody),
  service_connection: nullable(Uuid),
  service_connection_obj: nullable(ConnectionBody),
  refresh_interval_s: Type.Integer(),
  token_identifier: Type.String(),
  config: Json,
  managed: nullable(Type.String()),
})

export function outpostBody(row: OutpostRow): Static<typeof OutpostBody> {
  const config = readConfig(row.config)
  const { connection_id: id, connection_name: name, connection_local: local, connection_type: type } = row
  const connection =
    id !== null && name !== null && type !== null ? { id, name, type, local: local ?? false } : null
  return {
    pk: row.id,
    name: row.name,
    type: row.type,
    providers: row.providers.map(provider => provider.pk),
    providers_obj: row.providers.map(providerBody),
    service_connection: id,
    service_connection_obj: connection === null ? null : connectionBody(connection),
    refresh_interval_s: refreshSeconds(config),
    token_identifier: tokenIdentifierOf(row.id),
    config,
    managed: row.managed,
  }
}

const kinds = {
  proxy: ['ak-provider-proxy-form', 'Proxy Provider', 'authentik_providers_proxy.proxyprovider'],
  oauth2: ['ak-provider-oauth2-form', 'OAuth2/OpenID Provider', 'authentik_providers_oauth2.oauth2provider'],
} as const

function providerBody(provider: AttachedProvider): Static<typeof ProviderBody> {
  const [component, label, model] = kinds[provider.type]
  return {
    pk: provider.pk,
    name: provider.name,
    authentication_flow: provider.authentication_flow,
    authorization_flow: provider.authorization_flow,
    invalidation_flow: provider.invalidation_flow,
    property_mappings: provider.property_mappings,
    component,
    assigned_application_slug: provider.application_slug,
    assigned_application_name: provider.application_name,
    assigned_backchannel_application_slug: null,
    assigned_backchannel_application_name: null,
    verbose_name: label,
    verbose_name_plural: `${label}s`,
    meta_model_name: model,
  }
}
