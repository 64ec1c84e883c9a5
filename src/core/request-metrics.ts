// How long Core takes to answer, by route. Labels are bounded: a route is the pattern it was registered under.
import type { FastifyInstance } from 'fastify'
import type { Registry } from 'prom-client'
import { createHotHistogram, type HotSeries } from '../http/histogram.ts'
import type { CoreApp } from './app.ts'

const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** Call it before the instance is ready. */
export function registerRequestMetrics(registry: Registry, app: CoreApp): void {
  const histogram = createHotHistogram({
    name: 'authentik_core_request_duration_seconds',
    help: 'Requests answered by Core',
    labelNames: ['handler', 'method', 'status'],
    registry,
  })
  const known = new Map<string, HotSeries>()
  const instance = app as unknown as FastifyInstance
  instance.addHook('onResponse', async (request, reply) => {
    const handler = request.routeOptions.url ?? 'none'
    const method = methods.has(request.method) ? request.method : 'other'
    const status = `${Math.floor(reply.statusCode / 100)}xx`
    const key = `${status}${method}${handler}`
    let series = known.get(key)
    if (series === undefined) {
      series = histogram.series({ handler, method, status })
      known.set(key, series)
    }
    series.observe(reply.elapsedTime / 1000)
  })
}
