// `/outposts/proxy/`: what a proxy outpost is told about each provider, secrets included; for service accounts of outposts only.
import Type from 'typebox'
import { errorText } from '../../log.ts'
import type { OidcConfiguration, ProxyProviderConfig } from '../../wire/outpost.ts'
import { principalOf } from '../access.ts'
import { pageBody, pageOf, pageWindow } from '../api/page.ts'
import { errorResponses, listQuery, nullable, Uuid } from '../api/shapes.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { durationMs } from '../duration.ts'
import { permissionDenied } from '../errors.ts'
import { outpostOidcConfiguration } from '../oidc/discovery.ts'
import { randomText } from '../secrets.ts'
import type { Principal } from '../sessions/principal.ts'
import { accountPrefix } from './account.ts'
import type { ProxyConfigRow } from './proxy-config.sql.ts'
import { proxyConfigRows } from './proxy-config.sql.ts'

const text = Type.String()
const flag = Type.Boolean()
const texts = Type.Array(text)

const OidcBody = Type.Object({
  issuer: text,
  authorization_endpoint: text,
  token_endpoint: text,
  userinfo_endpoint: text,
  end_session_endpoint: text,
  introspection_endpoint: text,
  jwks_uri: text,
  response_types_supported: texts,
  id_token_signing_alg_values_supported: texts,
  subject_types_supported: texts,
  token_endpoint_auth_methods_supported: texts,
})

const ProxyConfigBody = Type.Object({
  pk: Type.Integer(),
  name: text,
  internal_host: text,
  external_host: text,
  internal_host_ssl_validation: flag,
  client_id: text,
  client_secret: text,
  oidc_configuration: OidcBody,
  cookie_secret: text,
  certificate: nullable(Uuid),
  skip_path_regex: text,
  basic_auth_enabled: flag,
  basic_auth_password_attribute: text,
  basic_auth_user_attribute: text,
  mode: Type.Enum(['proxy', 'forward_single', 'forward_domain']),
  cookie_domain: text,
  access_token_validity: nullable(Type.Number()),
  intercept_header_auth: flag,
  scopes_to_request: texts,
  assigned_application_slug: text,
  assigned_application_name: text,
  /** why no outpost can work with this provider; its secrets are made up then */
  problem: Type.Optional(text),
})

const query = listQuery({ name: Type.Optional(text) })

export function registerProxyConfigRoutes(app: CoreApp, core: Core): void {
  const proxyConfig = createProxyConfigs(core)
  app.get(
    '/api/v3/outposts/proxy/',
    {
      config: { access: { by: 'service accounts of outposts, each for the providers it may view' } },
      schema: {
        operationId: 'outposts_proxy_list',
        tags: ['outposts'],
        querystring: query,
        response: { 200: pageOf(ProxyConfigBody), ...errorResponses },
      },
    },
    async request => {
      const principal = principalOf(request)
      if (!isOutpost(principal)) throw permissionDenied()
      const { scheme, host } = request.client
      const rows = await proxyConfigRows(core.db, principal, request.query, pageWindow(request.query))
      const backChannel = host === '' ? undefined : `${scheme}://${host}`
      const results = rows.map(row => proxyConfig(row, backChannel))
      return pageBody(request.query, rows[0]?.total ?? 0, results)
    },
  )
}

/** True for the service account of an outpost. */
export function isOutpost({ user }: Principal): boolean {
  return user.type === 'internal_service_account' && user.username.startsWith(accountPrefix)
}

/**
 * Makes what an outpost is told of rows. A row that cannot be read (sealed under another secret key, a duration that is none) says so in
 * `problem`, has secrets nobody knows, and is logged once.
 * @returns a function; its `backChannel` is the origin the outpost calls Core on, undefined = the public name
 */
export function createProxyConfigs(
  core: Pick<Core, 'baseUrl' | 'secrets' | 'log'>,
): (row: ProxyConfigRow, backChannel: string | undefined) => ProxyProviderConfig & { problem?: string } {
  const log = core.log.child('authentik.outposts')
  const reported = new Map<number, string>()
  return (row, backChannel) => {
    try {
      const secrets = {
        client_secret: filled('client_secret', core.secrets.open('client_secret', row.client_secret_sealed)),
        cookie_secret: filled('cookie_secret', core.secrets.open('cookie_secret', row.cookie_secret_sealed)),
        access_token_validity: durationMs(row.access_token_validity) / 1000,
      }
      reported.delete(row.pk)
      return { ...proxyConfig(core, row, backChannel), ...secrets }
    } catch (error) {
      const problem = errorText(error)
      if (reported.get(row.pk) !== problem)
        log.error('outposts cannot be told of a provider: save it with new secrets', {
          provider: row.name,
          pk: row.pk,
          error: problem,
        })
      reported.set(row.pk, problem)
      const unknown = {
        client_secret: randomText(60),
        cookie_secret: randomText(32),
        access_token_validity: null,
      }
      return { ...proxyConfig(core, row, backChannel), ...unknown, problem }
    }
  }
}

/** An empty secret would let anybody make tokens and cookies. */
function filled(field: string, secret: string): string {
  if (secret === '') throw new Error(`${field} is empty`)
  return secret
}

type Sealed = 'client_secret' | 'cookie_secret' | 'access_token_validity'

function proxyConfig(
  core: Pick<Core, 'baseUrl'>,
  row: ProxyConfigRow,
  backChannel: string | undefined,
): Omit<ProxyProviderConfig, Sealed> {
  const oidc: OidcConfiguration = outpostOidcConfiguration(core.baseUrl, row.application_slug, backChannel)
  return {
    pk: row.pk,
    name: row.name,
    internal_host: row.internal_host,
    external_host: row.external_host,
    internal_host_ssl_validation: row.internal_host_ssl_validation,
    client_id: row.client_id,
    oidc_configuration: oidc,
    certificate: row.certificate,
    skip_path_regex: row.skip_path_regex,
    basic_auth_enabled: row.basic_auth_enabled,
    basic_auth_password_attribute: row.basic_auth_password_attribute,
    basic_auth_user_attribute: row.basic_auth_user_attribute,
    mode: row.mode,
    cookie_domain: row.cookie_domain,
    intercept_header_auth: row.intercept_header_auth,
    scopes_to_request: row.scopes,
    assigned_application_slug: row.application_slug,
    assigned_application_name: row.application_name,
  }
}
