// Where an application is opened.
import type { PrincipalUser } from '../sessions/principal.ts'

/** Schemes that run code or read local data when a browser goes there. */
const refused = new Set([
  'javascript:',
  'data:',
  'vbscript:',
  'blob:',
  'file:',
  'filesystem:',
  'about:',
  'view-source:',
])

export interface Launchable {
  meta_launch_url: string
  external_host: string | null
  first_redirect_uri: string | null
}

/**
 * The address a user is sent to: the application's own, with `%(username)s`-like placeholders filled in, else the proxy provider's
 * host, else the origin of the first redirect URI.
 * @returns an absolute URL or a path of this origin; null when there is none, it is hidden (`blank://blank`), or not fit to follow
 */
export function launchUrl(application: Launchable, user: PrincipalUser | null): string | null {
  const { meta_launch_url: own } = application
  if (own === 'blank://blank') return null
  if (own !== '') return checked(fillIn(own, user))
  if (application.external_host !== null && application.external_host !== '')
    return checked(application.external_host)
  if (application.first_redirect_uri === null) return null
  const callback = URL.parse(application.first_redirect_uri)
  if (callback === null || (callback.protocol !== 'http:' && callback.protocol !== 'https:')) return null
  return `${callback.origin}/`
}

function fillIn(text: string, user: PrincipalUser | null): string {
  const values: Record<string, string> = {
    pk: user === null ? '' : String(user.id),
    uuid: user?.uuid ?? '',
    uid: user?.uid ?? '',
    username: user?.username ?? '',
    name: user?.name ?? '',
    email: user?.email ?? '',
  }
  return text.replaceAll(/%\(([a-z]+)\)s/g, (placeholder, name: string) =>
    Object.hasOwn(values, name) ? encodeURIComponent(values[name]!) : placeholder,
  )
}

function checked(text: string): string | null {
  if (text.startsWith('/') && !/^\/[/\\]/.test(text)) return URL.canParse(text, 'http://own') ? text : null
  const url = URL.parse(text)
  return url === null || refused.has(url.protocol) ? null : url.href
}
