// The listeners of a program, opened in one way: metrics and health first, then HTTP and, where an address is set, HTTPS.
import type { SecureContext } from 'node:tls'
import type { Registry } from 'prom-client'
import type { Readiness } from '../http/health.ts'
import { createListener, type Listener, type ListenerOptions } from '../http/listener.ts'
import { createMetricsListener, createRegistry } from '../http/metrics.ts'
import type { Start } from './start-context.ts'
import { defaultCertificate } from './tls.ts'

/** Opens the metrics listener, the first thing a program does, so that a probe always finds somebody. @throws ListenError */
export async function openMetrics(
  { settings, log, shutdown }: Pick<Start, 'settings' | 'log' | 'shutdown'>,
  ready: () => Promise<Readiness | undefined>,
  registry: Registry = createRegistry(),
): Promise<Registry> {
  const metrics = await createMetricsListener({
    listen: settings.get('AUTHENTIK_LISTEN__METRICS'),
    setting: 'AUTHENTIK_LISTEN__METRICS',
    registry,
    ready: async () => (await ready()) ?? { ok: false, checks: { start: 'not finished yet' } },
    log,
  })
  shutdown.add('metrics listener', () => metrics.close({ graceMs: 0 }))
  return registry
}

/**
 * Opens HTTP and HTTPS; registered with `shutdown` as well, for a start that fails half-way.
 * @param sni certificate for a name; for others there is a self-signed one
 * @throws ListenError
 */
export async function openListeners(
  { settings, log, shutdown }: Pick<Start, 'settings' | 'log' | 'shutdown'>,
  serve: Required<Pick<ListenerOptions, 'handler' | 'upgrade' | 'trusted'>>,
  sni: (servername: string) => SecureContext | undefined,
): Promise<Listener[]> {
  const open = async (name: 'HTTP' | 'HTTPS', tls?: ListenerOptions['tls']) => {
    const setting = `AUTHENTIK_LISTEN__${name}` as const
    const listen = settings.get(setting)
    const listener = await createListener({ name, setting, listen, tls, ...serve, proxyProtocol: true, log })
    shutdown.add(`${name} listener`, () => listener.close())
    return listener
  }
  const http = await open('HTTP')
  if (settings.get('AUTHENTIK_LISTEN__HTTPS').length === 0) return [http]
  return [http, await open('HTTPS', { ...(await defaultCertificate()), sni })]
}
