// The standalone proxy outpost: settings → metrics listener → HTTP listeners → link → outpost. The listeners open before Core has
// answered, so that a taken port ends the start at once; until the first configuration requests get 503.
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { createRegistry } from '../http/metrics.ts'
import { createTrustedPeers } from '../http/trusted-peers.ts'
import { createConfigurationFile } from '../proxy/kept-configuration.ts'
import { createOutpost } from '../proxy/outpost.ts'
import { createWsLink } from '../proxy/ws-link.ts'
import { version } from '../version.ts'
import { openListeners, openMetrics } from './listeners.ts'
import { openStandaloneSessions, outpostDirectory, sessionDirectory } from './sessions.ts'
import type { Start } from './start-context.ts'

/** Starts the outpost; resolves once it serves. @throws what ends the start */
export async function startProxy({ settings, log, accessLog, shutdown }: Start): Promise<void> {
  const registry = createRegistry()
  const trusted = createTrustedPeers(settings.get('AUTHENTIK_LISTEN__TRUSTED_PROXY_CIDRS'))
  const instanceId = randomUUID()
  const link = createWsLink({
    coreUrl: settings.get('AUTHENTIK_HOST'),
    browserUrl: settings.get('AUTHENTIK_HOST_BROWSER') || undefined,
    token: settings.get('AUTHENTIK_TOKEN'),
    insecure: settings.get('AUTHENTIK_INSECURE'),
    version,
    instanceId,
    log: log.child('authentik.outpost.ak-api-controller'),
  })
  const outpost = createOutpost({
    link,
    embedded: false,
    sessions: instance => openStandaloneSessions({ settings, instance, log }),
    browserUrl: settings.get('AUTHENTIK_HOST_BROWSER') || undefined,
    trusted,
    version,
    instanceId,
    log,
    accessLog,
    registry,
    leaseMs: settings.get('POSTERN_SESSION_LEASE') * 1000,
    replayBytes: settings.get('POSTERN_REPLAY_FORMS'),
    revocationFile: instance => join(sessionDirectory(settings, instance.pk), 'last-revocation'),
    configurationFile: createConfigurationFile({
      directory: outpostDirectory(settings),
      token: settings.get('AUTHENTIK_TOKEN'),
      coreUrl: settings.get('AUTHENTIK_HOST'),
      log,
    }),
  })
  await openMetrics({ settings, log, shutdown }, () => outpost.ready(), registry)
  shutdown.add('outpost', () => outpost.close())

  const serve = {
    handler: (...[request, response]: Parameters<typeof outpost.handle>) => {
      outpost.handle(request, response)
    },
    upgrade: (...[request, socket, head]: Parameters<typeof outpost.upgrade>) => {
      outpost.upgrade(request, socket, head)
    },
    trusted,
  }
  await openListeners({ settings, log, shutdown }, serve, name => outpost.sni(name))
  shutdown.add('tunnels', () => outpost.drain())
  await outpost.start()
  log.info('outpost is ready', { applications: outpost.status().applications })
}
