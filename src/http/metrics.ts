// The metrics listener every program opens first: Prometheus text, health, ping. Nothing on it is for browsers.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { collectDefaultMetrics, Registry } from 'prom-client'
import type { Log } from '../log.ts'
import { createHealth, type Readiness } from './health.ts'
import { createListener, type ListenAddress, type Listener } from './listener.ts'
import { createTrustedPeers } from './trusted-peers.ts'

/** A registry with the figures of the process itself (`process_…`, `nodejs_…`). */
export function createRegistry(): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  return registry
}

/**
 * Serves `/metrics` (also `/-/metrics/`), `/-/health/live/`, `/-/health/ready/` and the ping path (204, any method).
 * @param options.pingPath default `/outpost.goauthentik.io/ping`
 * @throws ListenError when an address cannot be bound
 */
export function createMetricsListener(options: {
  listen: readonly ListenAddress[]
  /** the setting that named the addresses */
  setting?: string
  registry: Registry
  live?: () => boolean
  ready: () => Promise<Readiness>
  pingPath?: string
  log: Log
}): Promise<Listener> {
  const { listen, setting, registry, live, ready, pingPath = '/outpost.goauthentik.io/ping', log } = options
  const health = createHealth({ live, ready })
  return createListener({
    name: 'metrics',
    setting,
    listen,
    trusted: createTrustedPeers([]),
    log,
    handler: (request, response) => {
      const path = (request.url ?? '').split('?', 1)[0]
      if (path === pingPath) {
        response.writeHead(204).end()
        return
      }
      if (health.handle(request, response)) return
      if (path === '/metrics' || path === '/-/metrics/') return answerMetrics(request, response, registry)
      response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' }).end('Not Found\n')
    },
  })
}

async function answerMetrics(
  request: IncomingMessage,
  response: ServerResponse,
  registry: Registry,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { allow: 'GET, HEAD' }).end()
    return
  }
  const text = await registry.metrics()
  response.writeHead(200, { 'content-type': registry.contentType, 'cache-control': 'no-store' })
  response.end(request.method === 'HEAD' ? undefined : text)
}
