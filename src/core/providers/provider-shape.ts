// What every provider shows, whatever its kind; also nested in applications.
import type { Static } from 'typebox'
import Type from 'typebox'
import { nullable, Uuid } from '../api/shapes.ts'

export type ProviderType = 'oauth2' | 'proxy'

export const providerFields = {
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
}
export const ProviderBody = Type.Object(providerFields)

/** Columns of `providerColumns`. */
export interface ProviderRow {
  id: number
  type: ProviderType
  name: string
  authentication_flow_id: string | null
  authorization_flow_id: string
  invalidation_flow_id: string
  property_mappings: string[]
  application_slug: string | null
  application_name: string | null
}

interface Kind {
  /** form element of the admin interface of API clients */
  component: string
  name: string
  description: string
  app: string
  model: string
}

export const providerKinds: Record<ProviderType, Kind> = {
  oauth2: {
    component: 'ak-provider-oauth2-form',
    name: 'OAuth2/OpenID Provider',
    description: 'Signs people in to an application that speaks OAuth 2.0 or OpenID Connect.',
    app: 'authentik_providers_oauth2',
    model: 'oauth2provider',
  },
  proxy: {
    component: 'ak-provider-proxy-form',
    name: 'Proxy Provider',
    description: 'Protects an application that has no login of its own, through an outpost.',
    app: 'authentik_providers_proxy',
    model: 'proxyprovider',
  },
}

/** The fields every provider shows. */
export function providerBody(row: ProviderRow): Static<typeof ProviderBody> {
  const kind = providerKinds[row.type]
  return {
    pk: row.id,
    name: row.name,
    authentication_flow: row.authentication_flow_id,
    authorization_flow: row.authorization_flow_id,
    invalidation_flow: row.invalidation_flow_id,
    property_mappings: row.property_mappings,
    component: kind.component,
    assigned_application_slug: row.application_slug,
    assigned_application_name: row.application_name,
    assigned_backchannel_application_slug: null,
    assigned_backchannel_application_name: null,
    verbose_name: kind.name,
    verbose_name_plural: `${kind.name}s`,
    meta_model_name: `${kind.app}.${kind.model}`,
  }
}

/** Codename of an action on providers of a kind. */
export function providerPermission(type: ProviderType, action: 'view' | 'add' | 'change' | 'delete'): string {
  const { app, model } = providerKinds[type]
  return `${app}.${action}_${model}`
}

/** What a provider refers to, by the names of the API. */
export function referencesOf(row: ProviderRow) {
  return {
    authentication_flow: row.authentication_flow_id,
    authorization_flow: row.authorization_flow_id,
    invalidation_flow: row.invalidation_flow_id,
    property_mappings: row.property_mappings,
  }
}
