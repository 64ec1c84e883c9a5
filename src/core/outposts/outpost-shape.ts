// How an outpost looks in the API.
import type { Static } from 'typebox'
import Type from 'typebox'
import { Json, nullable, Uuid } from '../api/shapes.ts'
import { ProviderBody, providerBody } from '../providers/provider-shape.ts'
import { tokenIdentifierOf } from './account.ts'
import { readConfig, refreshSeconds } from './config.ts'
import { ConnectionBody, connectionBody } from './connection-shape.ts'
import type { OutpostRow } from './outposts.sql.ts'

export const OutpostTypeName = Type.Enum(['proxy', 'ldap', 'radius', 'rac'])

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
    providers: row.providers.map(provider => provider.id),
    providers_obj: row.providers.map(providerBody),
    service_connection: id,
    service_connection_obj: connection === null ? null : connectionBody(connection),
    refresh_interval_s: refreshSeconds(config),
    token_identifier: tokenIdentifierOf(row.id),
    config,
    managed: row.managed,
  }
}
