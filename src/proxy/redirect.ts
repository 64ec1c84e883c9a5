// Where a browser may be sent after a login: parsed URLs only, compared by host, never by text.
import type { Application } from './application.ts'
import { hostName } from './router.ts'

/** Longer targets fall back to the external host: they would not fit in a Location header everywhere. */
const maxTarget = 4096

/**
 * The target of a redirect, absolute and normalised, or null when it is refused or cannot be read.
 * `proxy` and `forward_single`: the host of the application or the one the browser uses now; `forward_domain`: also every host in the
 * cookie domain. Only http and https, never with user or password.
 * @param target absolute, or relative to `browser`
 * @param browser origin the browser used for this request, routed to `app`; for a relative target and as an accepted host
 */
export function checkedTarget(app: Application, target: string, browser: string): string | null {
  const url = URL.parse(target, browser)
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) return null
  if (url.username !== '' || url.password !== '') return null
  if (!isOwnHost(app, url, browser)) return null
  return url.href.length > maxTarget ? null : url.href
}

function isOwnHost(app: Application, url: URL, browser: string): boolean {
  if (url.host === app.host || url.host === URL.parse(browser)?.host) return true
  return app.mode === 'forward_domain' && isInDomain(hostName(url.host), app.cookieDomain)
}

/** `example.com` holds itself and `*.example.com`; an empty domain holds nothing. */
export function isInDomain(name: string, domain: string): boolean {
  return domain !== '' && (name === domain || name.endsWith(`.${domain}`))
}
