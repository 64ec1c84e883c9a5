// A Core in the same process, for tests of the outpost: it is the link, the authorize endpoint and the token endpoint, with switches to
// make each of them fail. It checks PKCE, redirect URI and one-time codes, so that an outpost that gets them wrong does not pass.
import { createHash, randomBytes } from 'node:crypto'
import { SignJWT } from 'jose'
import type { Frame } from '../../src/wire/frames.ts'
import {
  type BackChannelAnswer,
  type BackChannelCall,
  type BrokenProvider,
  LinkError,
  type LinkHandlers,
  type OutpostLink,
} from '../../src/wire/link.ts'
import type {
  CertificateBundle,
  OutpostEvent,
  OutpostInstance,
  ProxyProviderConfig,
} from '../../src/wire/outpost.ts'

export interface FakeUser {
  sub: string
  sid: string
  claims?: Record<string, unknown>
}

export interface FakeCore {
  readonly link: OutpostLink
  readonly instance: OutpostInstance
  providers: ProxyProviderConfig[]
  /** rows of its list that cannot be used */
  broken: BrokenProvider[]
  user: FakeUser
  /** seconds a token lives */
  tokenSeconds: number
  /** overrides claims of the tokens issued from now on */
  idClaims: Record<string, unknown>
  accessClaims: Record<string, unknown>
  /** app passwords by user name */
  passwords: Map<string, string>
  /** introspection answers by token */
  tokens: Map<string, Record<string, unknown>>
  certificates: Map<string, CertificateBundle>
  /** methods of the link that fail, with the error they throw */
  failing: Map<string, Error>
  /** back channel calls in order, as `token:authorization_code` */
  readonly calls: string[]
  readonly sent: Frame[]
  readonly events: OutpostEvent[]
  readonly handlers: LinkHandlers | null
  /** What the browser gets from Core for the authorize URL: the address it is sent back to. */
  authorize(url: string): string
  push(instruction: number, args?: Record<string, unknown>): void
}

interface Grant {
  clientId: string
  redirectUri: string
  challenge: string
  nonce: string
  user: FakeUser
}

/** @param providers what the outpost protects */
export function createFakeCore(providers: ProxyProviderConfig[]): FakeCore {
  const grants = new Map<string, Grant>()
  let handlers: LinkHandlers | null = null
  const guard = (name: string) => {
    const error = core.failing.get(name)
    if (error !== undefined) throw error
  }
  const link: OutpostLink = {
    async instance() {
      guard('instance')
      return structuredClone(core.instance)
    },
    rootConfig: async () => ({ error_reporting: { enabled: false } }),
    async providers(broken) {
      guard('providers')
      for (const row of core.broken) broken?.(row)
      return structuredClone(core.providers)
    },
    async certificate(uuid, knownFingerprint) {
      guard('certificate')
      const bundle = core.certificates.get(uuid)
      if (bundle === undefined) throw new LinkError('invalid', 'no such certificate')
      return bundle.fingerprint_sha256 === knownFingerprint ? null : bundle
    },
    async reportEvent(event) {
      core.events.push(event)
    },
    async backChannel(provider, call) {
      guard('backChannel')
      return answer(provider, call)
    },
    open(_outpost, given) {
      handlers = given
      queueMicrotask(() => given.onConnect())
    },
    send(frame) {
      core.sent.push(frame)
      return true
    },
    async close() {},
  }
  const core: FakeCore = {
    link,
    instance: {
      pk: '4c7a1b60-5d5f-4a06-8a7e-3a3d9b8f1a11',
      name: 'test outpost',
      managed: null,
      refresh_interval_s: 300,
      config: { authentik_host: 'https://core.example/' },
    },
    providers,
    broken: [],
    user: { sub: 'a'.repeat(64), sid: 'b'.repeat(64) },
    tokenSeconds: 3600,
    idClaims: {},
    accessClaims: {},
    passwords: new Map(),
    tokens: new Map(),
    certificates: new Map(),
    failing: new Map(),
    calls: [],
    sent: [],
    events: [],
    get handlers() {
      return handlers
    },
    authorize(text) {
      const params = new URL(text).searchParams
      const provider = core.providers.find(one => one.client_id === params.get('client_id'))
      if (provider === undefined) throw new Error('authorize: unknown client')
      if (params.get('response_type') !== 'code' || params.get('code_challenge_method') !== 'S256')
        throw new Error('authorize: not a code flow with PKCE')
      const redirectUri = params.get('redirect_uri') ?? ''
      if (!redirectUri.startsWith(`${new URL(provider.external_host).origin}/`))
        throw new Error(`authorize: redirect URI ${redirectUri} is not registered`)
      const code = randomBytes(12).toString('hex')
      const challenge = params.get('code_challenge') ?? ''
      const nonce = params.get('nonce') ?? ''
      grants.set(code, { clientId: provider.client_id, redirectUri, challenge, nonce, user: core.user })
      const back = new URL(redirectUri)
      back.searchParams.set('code', code)
      back.searchParams.set('state', params.get('state') ?? '')
      return back.href
    },
    push(instruction, args = {}) {
      handlers?.onFrame({ instruction, args })
    },
  }
  return core

  async function answer(provider: ProxyProviderConfig, call: BackChannelCall): Promise<BackChannelAnswer> {
    if (call.endpoint === 'jwks') return { status: 200, body: { keys: [] } }
    const { form } = call
    core.calls.push(`${call.endpoint}:${form.grant_type ?? ''}`)
    if (call.endpoint === 'introspection') {
      if (form.client_secret !== provider.client_secret) return { status: 401, body: null }
      return { status: 200, body: core.tokens.get(form.token ?? '') ?? { active: false } }
    }
    return form.grant_type === 'client_credentials' ? byPassword(provider, form) : byCode(provider, form)
  }

  async function byCode(
    provider: ProxyProviderConfig,
    form: Record<string, string>,
  ): Promise<BackChannelAnswer> {
    const grant = grants.get(form.code ?? '')
    grants.delete(form.code ?? '')
    const challenge = createHash('sha256')
      .update(form.code_verifier ?? '')
      .digest('base64url')
    const good =
      grant !== undefined &&
      grant.clientId === form.client_id &&
      form.client_secret === provider.client_secret &&
      grant.redirectUri === form.redirect_uri &&
      grant.challenge === challenge
    if (!good) return { status: 400, body: { error: 'invalid_grant' } }
    const id = await token(provider, grant.user, { nonce: grant.nonce, ...core.idClaims })
    const access = await token(provider, grant.user, core.accessClaims)
    return { status: 200, body: { access_token: access, id_token: id, token_type: 'Bearer' } }
  }

  async function byPassword(
    provider: ProxyProviderConfig,
    form: Record<string, string>,
  ): Promise<BackChannelAnswer> {
    const { username = '', password = '' } = form
    if (!core.passwords.has(username) || core.passwords.get(username) !== password)
      return { status: 400, body: { error: 'invalid_grant' } }
    const user = { sub: `user-${username}`, sid: '', claims: { preferred_username: username } }
    return { status: 200, body: { id_token: await token(provider, user, {}), access_token: 'x' } }
  }

  function token(provider: ProxyProviderConfig, user: FakeUser, extra: Record<string, unknown>) {
    const seconds = Math.floor(Date.now() / 1000)
    return new SignJWT({
      iss: provider.oidc_configuration.issuer,
      aud: provider.client_id,
      iat: seconds,
      exp: seconds + core.tokenSeconds,
      sub: user.sub,
      sid: user.sid,
      email: 'jane@example.org',
      email_verified: true,
      name: 'Jane Döe',
      preferred_username: 'jane',
      groups: ['staff', 'admins'],
      entitlements: ['read'],
      ak_proxy: { user_attributes: {}, is_superuser: false },
      ...user.claims,
      ...extra,
    })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(new TextEncoder().encode(provider.client_secret))
  }
}

let count = 0

/** A provider as Core describes it; every call gives another client. */
export function fakeProvider(about: Partial<ProxyProviderConfig> = {}): ProxyProviderConfig {
  count++
  const slug = about.assigned_application_slug ?? `app-${count}`
  return {
    pk: count,
    name: `provider ${count}`,
    external_host: 'https://app.example',
    internal_host: '',
    internal_host_ssl_validation: true,
    client_id: `client-${count}`,
    client_secret: `client-secret-${count}`.padEnd(64, 's'),
    oidc_configuration: {
      issuer: `https://core.example/application/o/${slug}/`,
      authorization_endpoint: 'https://core.example/application/o/authorize/',
      token_endpoint: 'https://core.example/application/o/token/',
      userinfo_endpoint: 'https://core.example/application/o/userinfo/',
      end_session_endpoint: `https://core.example/application/o/${slug}/end-session/`,
      introspection_endpoint: 'https://core.example/application/o/introspect/',
      jwks_uri: `https://core.example/application/o/${slug}/jwks/`,
      response_types_supported: ['code'],
      id_token_signing_alg_values_supported: ['HS256'],
      subject_types_supported: ['public'],
      token_endpoint_auth_methods_supported: ['client_secret_post'],
    },
    cookie_secret: `COOKIESECRET${count}`.padEnd(32, 'X'),
    certificate: null,
    skip_path_regex: '',
    basic_auth_enabled: false,
    basic_auth_user_attribute: '',
    basic_auth_password_attribute: '',
    mode: 'forward_single',
    cookie_domain: '',
    access_token_validity: 3600,
    intercept_header_auth: true,
    scopes_to_request: ['openid', 'profile', 'email', 'ak_proxy'],
    assigned_application_slug: slug,
    assigned_application_name: slug,
    ...about,
  }
}
