// What requests are answered from: built whole from a configuration, then swapped in by one assignment.
import type { SecureContext } from 'node:tls'
import type { Configuration } from './configuration.ts'
import type { Parts } from './exchange.ts'
import { createRouter, type Router } from './router.ts'
import type { Tunnels } from './upgrade.ts'

export interface Serving {
  readonly parts: Parts
  readonly router: Router
  readonly tunnels: Tunnels
  /** of the applications that have one, by host name */
  readonly certificates: ReadonlyMap<string, SecureContext>
}

/** @param about.isCoreHost embedded: hosts that Core itself answers to */
export function buildServing(
  configuration: Configuration,
  about: { parts: Parts; tunnels: Tunnels; isCoreHost?: (host: string) => boolean },
): Serving {
  const loaded = [...configuration.loaded.values()]
  const applications = loaded.map(({ application }) => application)
  const router = createRouter(applications, about.isCoreHost ?? (() => false))
  for (const { name, host } of router.displaced)
    about.parts.log.error('failed to setup application', {
      name,
      host,
      error: 'an older provider has this host',
    })
  const certificates = new Map<string, SecureContext>()
  for (const { application, tls } of loaded)
    if (tls !== null && !router.displaced.includes(application)) certificates.set(application.hostname, tls)
  return { parts: about.parts, router, tunnels: about.tunnels, certificates }
}
