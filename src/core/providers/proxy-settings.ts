// The rules of a proxy provider, always judged on what it will be, so that a change of one field is not refused for another.
import { RE2JS } from 're2js'
import { invalid } from '../errors.ts'
import type { RedirectUri } from '../oidc/provider.sql.ts'
import { durationProblems } from './references.ts'

export interface ProxySettings {
  mode: 'proxy' | 'forward_single' | 'forward_domain'
  external_host: string
  internal_host: string
  internal_host_ssl_validation: boolean
  certificate: string | null
  skip_path_regex: string
  basic_auth_enabled: boolean
  basic_auth_user_attribute: string
  basic_auth_password_attribute: string
  intercept_header_auth: boolean
  cookie_domain: string
  access_token_validity: string
  refresh_token_validity: string
}

export const defaultProxySettings: Omit<ProxySettings, 'external_host'> = {
  mode: 'proxy',
  internal_host: '',
  internal_host_ssl_validation: true,
  certificate: null,
  skip_path_regex: '',
  basic_auth_enabled: false,
  basic_auth_user_attribute: '',
  basic_auth_password_attribute: '',
  intercept_header_auth: true,
  cookie_domain: '',
  access_token_validity: 'hours=24',
  refresh_token_validity: 'days=30',
}

/**
 * @param baseUrl of Core, whose host no application may take
 * @throws ApiError 400 with a sentence for each field that cannot stay as it is
 */
export function checkProxySettings(settings: ProxySettings, baseUrl: URL): void {
  const problems: Record<string, string> = durationProblems(
    { ...settings },
    ['access_token_validity', 'refresh_token_validity'],
    ['access_token_validity', 'refresh_token_validity'],
  )
  const external = webAddress(settings.external_host)
  if (external === undefined) problems.external_host = notAWebAddress
  else if (settings.mode === 'proxy' && hostOf(external) === hostOf(baseUrl))
    problems.external_host = `${external.host} is the address of the identity provider itself: an application in this mode would take all of it.`
  if (settings.internal_host !== '' && webAddress(settings.internal_host) === undefined)
    problems.internal_host = notAWebAddress
  if (settings.internal_host === '' && settings.mode === 'proxy')
    problems.internal_host = 'Internal host cannot be empty when forward auth is disabled.'
  const { basic_auth_user_attribute: user, basic_auth_password_attribute: password } = settings
  if (settings.basic_auth_enabled && (user === '' || password === ''))
    problems.basic_auth_enabled = 'User and password attributes must be set when basic auth is enabled.'
  const domain = external === undefined ? undefined : domainProblem(settings.cookie_domain, external)
  if (domain !== undefined) problems.cookie_domain = domain
  const pattern = settings.skip_path_regex.split(/\r?\n/).find(line => line.trim() !== '' && !compiles(line))
  if (pattern !== undefined)
    problems.skip_path_regex = `${pattern}: this is no regular expression that RE2 can run.`
  if (Object.keys(problems).length > 0) throw invalid(problems)
}

/** What the outpost may be sent back to; the first is what it uses. @param externalHost a checked URL */
export function proxyRedirectUris(externalHost: string): RedirectUri[] {
  const callback = new URL('outpost.goauthentik.io/callback', externalHost)
  callback.searchParams.set('X-authentik-auth-callback', 'true')
  const root = `${externalHost}?X-authentik-auth-callback=true`
  return [callback.href, root].map(url => ({
    matching_mode: 'strict',
    url,
    redirect_uri_type: 'authorization',
  }))
}

const notAWebAddress =
  'Enter an address that begins with http:// or https://, without user name, query and fragment.'

function webAddress(text: string): URL | undefined {
  if (/[\s\\?#]/.test(text)) return undefined
  const url = URL.parse(text)
  if (url === null || !['http:', 'https:'].includes(url.protocol) || url.hostname === '') return undefined
  // `http:host` and `http:///host` parse as well, but are nobody's address.
  if (!/^https?:\/\/[^/]/i.test(text)) return undefined
  return url.username === '' && url.password === '' ? url : undefined
}

/** With its port unless it is the default one; a final dot names the same host. */
function hostOf(url: URL): string {
  return url.host.replace(/\.(?=:|$)/, '')
}

/** A browser keeps a cookie only for a domain the host is in. */
function domainProblem(setting: string, external: URL): string | undefined {
  const domain = setting.trim().toLowerCase().replace(/^\./, '')
  if (domain === '') return undefined
  if (!/^[a-z0-9-]+(\.[a-z0-9-]+)*$/.test(domain)) return 'Enter a domain name, e.g. example.com.'
  if (external.hostname === domain || external.hostname.endsWith(`.${domain}`)) return undefined
  return `Browsers would refuse this domain: ${external.hostname} is not in it.`
}

function compiles(pattern: string): boolean {
  try {
    RE2JS.compile(pattern)
    return true
  } catch {
    return false
  }
}
