// The outpost's figures for Prometheus. Labels are bounded: hosts are those of known applications, methods the usual ones.
import { Gauge, type Registry } from 'prom-client'
import { createHotHistogram, type HotHistogram, type HotSeries } from '../http/histogram.ts'

export interface OutpostMetrics {
  /** @param host of a known application, or `other` */
  observe(host: string, method: string, type: 'app' | 'ping' | 'static', seconds: number): void
  observeUpstream(about: UpstreamLabels, seconds: number): void
  connected(up: boolean): void
  /** @param at ms since epoch */
  updated(at: number): void
  /** Sets the name under which everything is counted; known only after the first answer from Core. */
  named(outpost: { name: string; pk: string }): void
}

interface UpstreamLabels {
  method: string
  /** of a known application */
  host: string
  /** `http://host:port` of the application's upstream, or `override` */
  origin: string
}

const knownMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** @param options.registry where the metrics are registered; one outpost per registry */
export function createOutpostMetrics(options: {
  registry: Registry
  version: string
  build: string
}): OutpostMetrics {
  const { registry, version, build } = options
  const about = ['outpost_name', 'outpost_type', 'uuid', 'version', 'build'] as const
  const info = new Gauge({
    name: 'authentik_outpost_info',
    help: 'About the outpost',
    labelNames: about,
    registers: [registry],
  })
  const updated = new Gauge({
    name: 'authentik_outpost_last_update',
    help: 'Time of the last applied configuration, Unix seconds',
    labelNames: about,
    registers: [registry],
  })
  const connection = new Gauge({
    name: 'authentik_outpost_connection',
    help: 'Whether the push connection to Core is open',
    labelNames: ['outpost_name', 'outpost_type', 'uuid'],
    registers: [registry],
  })
  const requests = createHotHistogram({
    name: 'authentik_outpost_proxy_request_duration_seconds',
    help: 'Requests answered by the outpost',
    labelNames: ['outpost_name', 'method', 'host', 'type'],
    registry,
  })
  const upstream = createHotHistogram({
    name: 'authentik_outpost_proxy_upstream_response_duration_seconds',
    help: 'Time until an upstream answered',
    labelNames: ['outpost_name', 'method', 'scheme', 'host', 'upstream_host'],
    registry,
  })
  let outpost = { name: '', pk: '' }
  let hot = createSeriesTable(requests, () => outpost.name)
  let hotUpstream = createUpstreamTable(upstream, () => outpost.name)
  const whole = () => ({
    outpost_name: outpost.name,
    outpost_type: 'proxy',
    uuid: outpost.pk,
    version,
    build,
  })
  return {
    observe: (host, method, type, seconds) => hot(host, method, type).observe(seconds),
    observeUpstream: (about, seconds) => hotUpstream(about).observe(seconds),
    connected: up =>
      connection.set({ outpost_name: outpost.name, outpost_type: 'proxy', uuid: outpost.pk }, up ? 1 : 0),
    updated: at => updated.set(whole(), at / 1000),
    named(next) {
      if (next.name === outpost.name && next.pk === outpost.pk) return
      outpost = next
      hot = createSeriesTable(requests, () => outpost.name)
      hotUpstream = createUpstreamTable(upstream, () => outpost.name)
      for (const gauge of [info, updated, connection]) gauge.reset()
      info.set(whole(), 1)
    },
  }
}

type Requests = HotHistogram<'outpost_name' | 'method' | 'host' | 'type'>

/** Series by host and method without building a key per request. */
function createSeriesTable(requests: Requests, name: () => string) {
  const tables = new Map<string, Map<string, HotSeries>>()
  return (host: string, method: string, type: string): HotSeries => {
    const place = type === 'app' ? host : type
    let byMethod = tables.get(place)
    if (byMethod === undefined) {
      if (tables.size >= 2000) tables.clear()
      byMethod = new Map()
      tables.set(place, byMethod)
    }
    const known = byMethod.get(method)
    if (known !== undefined) return known
    const series = requests.series({ outpost_name: name(), method: methodLabel(method), host, type })
    if (byMethod.size < 32) byMethod.set(method, series)
    return series
  }
}

type Upstreams = HotHistogram<'outpost_name' | 'method' | 'scheme' | 'host' | 'upstream_host'>

/** Series by origin, host and method; the texts are the same objects at every request, so no look-up hashes anything. */
function createUpstreamTable(upstreams: Upstreams, name: () => string) {
  const known = new Map<string, Map<string, Map<string, HotSeries>>>()
  let size = 0
  return ({ method, host, origin }: UpstreamLabels): HotSeries => {
    const found = known.get(origin)?.get(host)?.get(method)
    if (found !== undefined) return found
    const [scheme = '', upstream_host = ''] = origin.includes('://') ? origin.split('://') : ['', origin]
    const labels = { outpost_name: name(), method: methodLabel(method), scheme, host, upstream_host }
    const series = upstreams.series(labels)
    if (size < 2000) {
      size++
      const byHost = known.get(origin) ?? new Map<string, Map<string, HotSeries>>()
      const byMethod = byHost.get(host) ?? new Map<string, HotSeries>()
      known.set(origin, byHost.set(host, byMethod.set(method, series)))
    }
    return series
  }
}

function methodLabel(method: string): string {
  return knownMethods.has(method) ? method : 'other'
}
