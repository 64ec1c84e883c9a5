// Host to application: an immutable table, built once per configuration and swapped as a whole.
import type { Application } from './application.ts'

export interface Router {
  readonly applications: readonly Application[]
  /** applications whose host an older one has: they are not served */
  readonly displaced: readonly Application[]
  /** @param host as the browser used it, lower case, with its port if one was given */
  find(host: string): Application | null
}

/**
 * Exact host first, then the name without port when exactly one application has that name and Core does not answer to the host, then
 * the longest cookie domain of the `forward_domain` applications, on label borders. Nobody takes all hosts. Of several applications
 * with one host the oldest keeps it, so that no later one can take its visitors.
 * @param isCoreHost whether Core itself answers to a host; always false for a standalone outpost
 */
export function createRouter(
  applications: readonly Application[],
  isCoreHost: (host: string) => boolean,
): Router {
  const byHost = new Map<string, Application>()
  const byName = new Map<string, Application | null>()
  const byDomain = new Map<string, Application>()
  const displaced: Application[] = []
  for (const app of applications.toSorted((a, b) => a.config.pk - b.config.pk)) {
    if (byHost.has(app.host)) {
      displaced.push(app)
      continue
    }
    byHost.set(app.host, app)
    if (!app.host.includes(':') || app.host.endsWith(']'))
      byHost.set(`${app.host}:${app.origin.startsWith('https:') ? 443 : 80}`, app)
    const known = byName.get(app.hostname)
    byName.set(app.hostname, known === undefined || known?.host === app.host ? app : null)
    if (app.mode === 'forward_domain' && app.cookieDomain !== '' && !byDomain.has(app.cookieDomain))
      byDomain.set(app.cookieDomain, app)
  }
  return {
    applications,
    displaced,
    find(host) {
      const exact = byHost.get(host)
      if (exact !== undefined) return exact
      const name = hostName(host)
      const named = byName.get(name)
      if (named && !isCoreHost(host)) return named
      return byDomain.size === 0 ? null : findDomain(name)
    },
  }

  function findDomain(name: string): Application | null {
    for (let at = 0; at !== -1; ) {
      const app = byDomain.get(name.slice(at))
      if (app !== undefined) return app
      const dot = name.indexOf('.', at)
      at = dot === -1 ? -1 : dot + 1
    }
    return null
  }
}

/** The host without its port; the brackets of an IPv6 address stay. */
export function hostName(host: string): string {
  const colon = host.lastIndexOf(':')
  return colon === -1 || host.endsWith(']') ? host : host.slice(0, colon)
}
