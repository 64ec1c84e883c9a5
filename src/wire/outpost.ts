// What Core tells an outpost, as plain types and plain checks: an outpost loads neither TypeBox nor Fastify.
// Unknown keys are tolerated everywhere, so that one minor version of difference does no harm.

export const embeddedOutpostManaged = 'goauthentik.io/outposts/embedded'
/** Path prefix of everything an outpost answers itself. */
export const outpostPrefix = '/outpost.goauthentik.io'

/** `GET /api/v3/outposts/instances/`, first row; only what an outpost reads. */
export interface OutpostInstance {
  pk: string
  name: string
  managed: string | null
  /** seconds */
  refresh_interval_s: number
  config: OutpostConfigRead
}

/** The keys of the outpost's `config` that the outpost itself reads; the whole object has more. */
export interface OutpostConfigRead {
  authentik_host: string
  authentik_host_insecure?: boolean
  authentik_host_browser?: string
  log_level?: string
  session_backend?: string
  [key: string]: unknown
}

/** `GET /api/v3/root/config/`; only what an outpost reads. */
export interface RootConfig {
  error_reporting: { enabled: boolean; [key: string]: unknown }
  [key: string]: unknown
}

export type ProxyMode = 'proxy' | 'forward_single' | 'forward_domain'

export interface OidcConfiguration {
  issuer: string
  authorization_endpoint: string
  token_endpoint: string
  userinfo_endpoint: string
  end_session_endpoint: string
  introspection_endpoint: string
  jwks_uri: string
  response_types_supported: string[]
  id_token_signing_alg_values_supported: string[]
  subject_types_supported: string[]
  token_endpoint_auth_methods_supported: string[]
}

/** One row of `GET /api/v3/outposts/proxy/`. */
export interface ProxyProviderConfig {
  pk: number
  name: string
  external_host: string
  /** empty in the forward modes */
  internal_host: string
  internal_host_ssl_validation: boolean
  client_id: string
  client_secret: string
  oidc_configuration: OidcConfiguration
  cookie_secret: string
  /** uuid of a certificate key pair */
  certificate: string | null
  /** one RE2 pattern per line */
  skip_path_regex: string
  basic_auth_enabled: boolean
  basic_auth_user_attribute: string
  basic_auth_password_attribute: string
  mode: ProxyMode
  cookie_domain: string
  /** seconds */
  access_token_validity: number | null
  intercept_header_auth: boolean
  scopes_to_request: string[]
  assigned_application_slug: string
  assigned_application_name: string
}

/** `certificatekeypairs/<uuid>/` with the two PEM texts. */
export interface CertificateBundle {
  fingerprint_sha256: string
  certificate_pem: string
  private_key_pem: string
}

/** `POST /api/v3/events/events/`. */
export interface OutpostEvent {
  action: string
  app: string
  client_ip?: string
  context: Record<string, unknown>
}

/** Claims of a signed-in user as an outpost keeps them. Missing keys take the zero value; `raw_token` is the verified JWT. */
export interface Claims {
  sub: string
  /** Unix seconds */
  exp: number
  email: string
  email_verified: boolean
  name: string
  preferred_username: string
  groups: string[]
  entitlements: string[]
  /** id of the Core session, 64 hex digits, empty when there is none (header logins) */
  sid: string
  ak_proxy: {
    user_attributes?: Record<string, unknown>
    backend_override?: string
    host_header?: string
    is_superuser?: boolean
  } | null
  raw_token: string
}
