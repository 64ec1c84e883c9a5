// How an OAuth2 provider looks in the API. Its secret is shown to those who may change it, and to nobody else.
import type { Static } from 'typebox'
import Type from 'typebox'
import { IntegerKey, nullable, Uuid } from '../api/shapes.ts'
import type { Core } from '../core.ts'
import type { OAuth2Row } from './oauth2-providers.sql.ts'
import { providerBody, providerFields } from './provider-shape.ts'
import { RedirectUriBody, RedirectUriInput } from './redirect-uris.ts'

const urn = 'urn:ietf:params:oauth:grant-type'
const GrantType = Type.Enum([
  'authorization_code',
  'implicit',
  'hybrid',
  'refresh_token',
  'client_credentials',
  'password',
  `${urn}:device_code`,
  `${urn}:token-exchange`,
])
const duration = Type.String({ maxLength: 255 })

/** What is both shown and written. */
const settings = {
  client_type: Type.Enum(['confidential', 'public']),
  grant_types: Type.Array(GrantType),
  access_code_validity: duration,
  access_token_validity: duration,
  refresh_token_validity: duration,
  refresh_token_threshold: duration,
  include_claims_in_id_token: Type.Boolean(),
  signing_key: nullable(Uuid),
  encryption_key: nullable(Uuid),
  logout_uri: Type.String({ maxLength: 2000 }),
  logout_method: Type.Enum(['backchannel', 'frontchannel']),
  sub_mode: Type.Enum(['hashed_user_id', 'user_id', 'user_uuid', 'user_username', 'user_email', 'user_upn']),
  issuer_mode: Type.Enum(['per_provider', 'global']),
  jwt_federation_sources: Type.Array(Uuid),
  jwt_federation_providers: Type.Array(IntegerKey),
  /** refuses logins without a code challenge; of public clients one is always required */
  require_pkce: Type.Boolean(),
}

export const OAuth2Body = Type.Object({
  ...providerFields,
  client_id: Type.String(),
  client_secret: Type.Optional(Type.String()),
  redirect_uris: Type.Array(RedirectUriBody),
  ...settings,
})

export const OAuth2Input = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 500 }),
  authentication_flow: Type.Optional(nullable(Uuid)),
  authorization_flow: Uuid,
  invalidation_flow: Uuid,
  property_mappings: Type.Optional(Type.Array(Uuid, { maxItems: 1000 })),
  client_id: Type.Optional(Type.String({ minLength: 1, maxLength: 255, pattern: '^[\\x21-\\x7e]+$' })),
  // Tokens are signed with it where there is no key: a short one could be guessed from any token.
  client_secret: Type.Optional(Type.String({ minLength: 16, maxLength: 255, pattern: '^[\\x20-\\x7e]+$' })),
  redirect_uris: Type.Array(RedirectUriInput, { maxItems: 1000 }),
  ...Type.Partial(Type.Object(settings)).properties,
})
export type OAuth2Input = Static<typeof OAuth2Input>

export function oauth2Body(row: OAuth2Row, core: Core): Static<typeof OAuth2Body> {
  return {
    ...providerBody(row),
    client_id: row.client_id,
    ...(row.may_change
      ? { client_secret: core.secrets.open('client_secret', row.client_secret_sealed) }
      : {}),
    redirect_uris: row.redirect_uris,
    client_type: row.client_type,
    grant_types: row.grant_types as Static<typeof OAuth2Body>['grant_types'],
    access_code_validity: row.access_code_validity,
    access_token_validity: row.access_token_validity,
    refresh_token_validity: row.refresh_token_validity,
    refresh_token_threshold: row.refresh_token_threshold,
    include_claims_in_id_token: row.include_claims_in_id_token,
    signing_key: row.signing_key_id,
    encryption_key: row.encryption_key_id,
    logout_uri: row.logout_uri,
    logout_method: row.logout_method,
    sub_mode: row.sub_mode as Static<typeof OAuth2Body>['sub_mode'],
    issuer_mode: row.issuer_mode,
    jwt_federation_sources: [],
    jwt_federation_providers: row.federated,
    require_pkce: row.require_pkce,
  }
}
