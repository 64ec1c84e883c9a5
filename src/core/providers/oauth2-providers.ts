// `/providers/oauth2/`: clients that speak OAuth 2.0 or OpenID Connect themselves. Client id and secret are made once.
import Type from 'typebox'
import type { WriteContext } from '../api/audit.ts'
import { updateColumns } from '../api/resource.sql.ts'
import type { Resource, WriteResult } from '../api/resource-definition.ts'
import { IntegerKey, listQuery, Uuid } from '../api/shapes.ts'
import { invalid } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import type { RedirectUri } from '../oidc/provider.sql.ts'
import { randomText } from '../secrets.ts'
import { providerReferrers } from './all-providers.ts'
import type { OAuth2Query, OAuth2Row } from './oauth2-providers.sql.ts'
import { oauth2Conditions, oauth2Ordering, oauth2Table } from './oauth2-providers.sql.ts'
import { OAuth2Body, OAuth2Input, oauth2Body } from './oauth2-shape.ts'
import { referencesOf } from './provider-shape.ts'
import { insertProvider, setFederated, setMappings, updatePart } from './providers.sql.ts'
import { redirectUriProblems, widePatterns } from './redirect-uris.ts'
import { checkReferences, durationProblems } from './references.ts'
import { removeProvider } from './remove-provider.ts'

const exactly = Type.Optional(Type.String())
const exactlyUuid = Type.Optional(Uuid)

export const oauth2Resource: Resource<OAuth2Row, OAuth2Input, OAuth2Query> = {
  path: '/providers/oauth2/',
  parameter: ['id', IntegerKey],
  operation: 'providers_oauth2',
  app: 'authentik_providers_oauth2',
  model: 'oauth2provider',
  body: OAuth2Body,
  write: OAuth2Input,
  query: listQuery({
    access_code_validity: exactly,
    access_token_validity: exactly,
    application: exactlyUuid,
    authorization_flow: exactlyUuid,
    client_id: exactly,
    client_type: exactly,
    include_claims_in_id_token: Type.Optional(Type.Boolean()),
    issuer_mode: exactly,
    name: exactly,
    property_mappings: Type.Optional(Type.Array(Uuid)),
    refresh_token_validity: exactly,
    signing_key: exactlyUuid,
    sub_mode: exactly,
  }),
  table: oauth2Table,
  where: oauth2Conditions,
  ordering: oauth2Ordering,
  toBody: (row, { core }) => oauth2Body(row, core),
  label: row => ({ pk: row.id, name: row.name }),
  insert,
  update,
  remove: removeProvider,
  unique: { providers_name_key: 'name', oauth2_providers_client_id_key: 'client_id' },
  referrers: providerReferrers,
}

async function insert(context: WriteContext, input: OAuth2Input): Promise<number> {
  const { core, tx } = context
  const uris = await check(context, input)
  const secret = input.client_secret ?? randomText(128)
  const id = await insertProvider(
    tx,
    { type: 'oauth2', ...baseColumns(input) },
    {
      ...columnsOf(input, uris),
      client_id: input.client_id ?? randomText(40),
      client_secret_sealed: core.secrets.seal('client_secret', secret),
    },
  )
  await setMappings(tx, id, input.property_mappings ?? [])
  await setFederated(tx, id, input.jwt_federation_providers ?? [])
  return id
}

async function update(
  context: WriteContext,
  row: OAuth2Row,
  input: Partial<OAuth2Input>,
): Promise<WriteResult> {
  const { core, tx } = context
  const uris = await check(context, input, row)
  await updateColumns(tx, 'providers', row.id, baseColumns(input))
  await updatePart(tx, 'oauth2_providers', row.id, {
    ...columnsOf(input, uris),
    client_id: input.client_id,
    client_secret_sealed:
      input.client_secret === undefined ? undefined : core.secrets.seal('client_secret', input.client_secret),
  })
  if (input.property_mappings !== undefined) await setMappings(tx, row.id, input.property_mappings)
  if (input.jwt_federation_providers !== undefined)
    await setFederated(tx, row.id, input.jwt_federation_providers)
  return {}
}

function baseColumns(input: Partial<OAuth2Input>): Record<string, unknown> {
  return {
    name: input.name,
    authentication_flow_id: input.authentication_flow,
    authorization_flow_id: input.authorization_flow,
    invalidation_flow_id: input.invalidation_flow,
  }
}

function columnsOf(input: Partial<OAuth2Input>, uris: RedirectUri[] | undefined): Record<string, unknown> {
  return {
    client_type: input.client_type,
    grant_types: input.grant_types === undefined ? undefined : [...new Set(input.grant_types)],
    redirect_uris: uris === undefined ? undefined : JSON.stringify(uris),
    logout_uri: input.logout_uri,
    logout_method: input.logout_method,
    access_code_validity: input.access_code_validity,
    access_token_validity: input.access_token_validity,
    refresh_token_validity: input.refresh_token_validity,
    refresh_token_threshold: input.refresh_token_threshold,
    include_claims_in_id_token: input.include_claims_in_id_token,
    signing_key_id: input.signing_key,
    sub_mode: input.sub_mode,
    issuer_mode: input.issuer_mode,
    require_pkce: input.require_pkce,
  }
}

const durations = [
  'access_code_validity',
  'access_token_validity',
  'refresh_token_validity',
  'refresh_token_threshold',
] as const
const positive = ['access_code_validity', 'access_token_validity', 'refresh_token_validity']

/** @returns the redirect URIs as they are stored. @throws ApiError 400 */
async function check(
  context: WriteContext,
  input: Partial<OAuth2Input>,
  row?: OAuth2Row,
): Promise<RedirectUri[] | undefined> {
  const problems: Record<string, string | string[]> = durationProblems(input, durations, positive)
  const uris = input.redirect_uris?.map(entry => ({
    matching_mode: entry.matching_mode,
    url: entry.url,
    redirect_uri_type: entry.redirect_uri_type ?? ('authorization' as const),
  }))
  const wrong = redirectUriProblems(uris ?? [])
  if (wrong.length > 0) problems.redirect_uris = wrong
  if (input.logout_uri !== undefined && !isLogoutUri(input.logout_uri))
    problems.logout_uri = 'Enter an address that begins with http:// or https://.'
  if (typeof input.encryption_key === 'string')
    problems.encryption_key = 'Encrypted tokens are not available: leave this empty.'
  if (Object.keys(problems).length > 0) throw invalid(problems)
  const before =
    row === undefined
      ? undefined
      : { ...referencesOf(row), signing_key: row.signing_key_id, jwt_federation_providers: row.federated }
  await checkReferences(context, input, before)
  await warn(context, input.name ?? row?.name, widePatterns(uris ?? []))
  return uris
}

function isLogoutUri(text: string): boolean {
  if (text === '') return true
  const url = URL.parse(text)
  return (
    url !== null && ['http:', 'https:'].includes(url.protocol) && url.username === '' && url.password === ''
  )
}

async function warn(context: WriteContext, name: string | undefined, patterns: string[]): Promise<void> {
  if (patterns.length === 0) return
  const { tx, principal, request } = context
  const { user } = principal
  await recordEvent(tx, {
    action: 'configuration_warning',
    app: 'authentik.providers.oauth2',
    user: { pk: user.id, username: user.username, email: user.email },
    context: {
      message: 'A redirect URI pattern allows hosts of anybody: logins can be led astray through it.',
      provider: name,
      patterns,
    },
    clientIp: request.client.clientAddress,
  })
}
