// Metrics of the database as this process uses it, and of the server as a whole. The latter are asked at most once a minute, by
// whichever process is scraped, and carry `cluster="true"`: they count once however many processes show them.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { errorText, type Log } from '../log.ts'
import type { Admission } from './admission.ts'
import type { WatchedBus } from './bus.ts'
import type { CacheFigures } from './cache.ts'
import type { Db } from './db.ts'
import { lanes } from './lane.ts'
import type { WatchedLeases } from './leases.ts'
import type { WatchedPool } from './pool.ts'
import type { Durations } from './pool-figures.ts'
import type { Replicas } from './replicas.ts'
import { readServerFigures, type ServerFigures } from './server-figures.ts'

export interface DatabaseMetrics {
  pool: WatchedPool
  db: Db
  log: Log
  admission?: Admission
  bus?: WatchedBus
  leases?: WatchedLeases
  cache?: { readonly figures: CacheFigures }
  replicas?: Pick<Replicas, 'state'>
}

type Labels = Record<string, string>
type Value = { labels?: Labels; value: number }

/** Adds the metrics to a registry, all with the prefix `authentik_`. */
export function registerDatabaseMetrics(registry: Registry, parts: DatabaseMetrics): void {
  const gauge = (
    name: string,
    help: string,
    labelNames: string[],
    read: () => Value[] | Promise<Value[]>,
  ) => {
    collected(Gauge, registry, name, help, labelNames, read)
  }
  const counter = (name: string, help: string, labelNames: string[], read: () => Value[]) => {
    collected(Counter, registry, name, help, labelNames, read)
  }
  ofPool(registry, parts, gauge, counter)
  ofMessages(parts, gauge, counter)
  ofServer(parts, gauge)
}

type Add = (name: string, help: string, labelNames: string[], read: () => Value[]) => void
type AddLater = (
  name: string,
  help: string,
  labelNames: string[],
  read: () => Value[] | Promise<Value[]>,
) => void

function ofPool(registry: Registry, parts: DatabaseMetrics, gauge: Add, counter: Add): void {
  const { pool, admission, replicas } = parts
  const { figures } = pool
  const perLane = (read: (lane: (typeof lanes)[number]) => number) => () =>
    lanes.map(lane => ({ labels: { lane }, value: read(lane) }))
  gauge('db_pool_size', 'Connections that are open or being opened', [], () => [{ value: pool.state().open }])
  gauge('db_pool_max', 'Most connections of the pool', [], () => [{ value: pool.max() }])
  gauge('db_pool_idle', 'Connections nobody uses', [], () => [{ value: pool.state().idle }])
  gauge('db_pool_waiting', 'Callers that wait for a connection', [], () => [{ value: pool.state().waiting }])
  counter(
    'db_pool_timeouts_total',
    'Callers that waited too long',
    ['lane'],
    perLane(lane => figures.lanes[lane].timeouts),
  )
  counter(
    'db_pool_refused_total',
    'Callers refused because too many waited',
    ['lane'],
    perLane(lane => figures.lanes[lane].refused),
  )
  counter('db_connections_opened_total', 'Connections opened', [], () => [{ value: figures.opened }])
  counter('db_connections_failed_total', 'Connections that could not be opened', [], () => [
    { value: figures.openFailures },
  ])
  counter('db_connections_lost_total', 'Connections that ended under a statement', [], () => [
    { value: figures.lost },
  ])
  histogram(registry, 'db_pool_acquire_seconds', 'Wait for a connection', ['lane'], () =>
    lanes.map(lane => ({ labels: { lane }, durations: figures.lanes[lane].acquire })),
  )
  histogram(registry, 'db_query_seconds', 'Statements of the pool, by verb and first table', ['name'], () =>
    [...figures.statements].map(([name, durations]) => ({ labels: { name }, durations })),
  )
  // TLS 1.2 without it is refused, and 1.3 has it built in.
  gauge('db_tls', '1 for what the last connection spoke', ['protocol', 'ems'], () =>
    figures.tls === undefined
      ? []
      : [{ labels: { protocol: figures.tls, ems: figures.tls === 'none' ? 'false' : 'true' }, value: 1 }],
  )
  if (admission !== undefined)
    gauge(
      'db_connection_budget',
      'Arithmetic of connections: slots, processes, wanted and granted pool',
      ['part'],
      () => {
        const { usable, processes, wanted, pool: granted } = admission.budget()
        return Object.entries({ usable, processes, wanted, granted }).map(([part, value]) => ({
          labels: { part },
          value,
        }))
      },
    )
  if (replicas !== undefined) {
    gauge('db_replica_lag_seconds', 'Age of what a read replica shows', ['target'], () =>
      replicas
        .state()
        .flatMap(({ target, lagSeconds }) =>
          lagSeconds === undefined ? [] : [{ labels: { target }, value: lagSeconds }],
        ),
    )
    gauge('db_replica_eligible', '1 when a read replica is used', ['target'], () =>
      replicas.state().map(({ target, eligible }) => ({ labels: { target }, value: eligible ? 1 : 0 })),
    )
  }
}

function ofMessages({ bus, leases, cache }: DatabaseMetrics, gauge: Add, counter: Add): void {
  if (bus !== undefined) {
    const { figures } = bus
    counter('bus_sent_total', 'Messages sent', [], () => [{ value: figures.sent }])
    counter('bus_notifications_total', 'Notifications that carried them', [], () => [
      { value: figures.notifications },
    ])
    counter('bus_received_total', 'Messages of other processes', [], () => [{ value: figures.received }])
    counter('bus_dropped_total', 'Messages that could not be sent', [], () => [{ value: figures.dropped }])
    counter('bus_resync_total', 'Comparisons with the tables', [], () => [{ value: figures.resyncs }])
    gauge('bus_healthy', '1 when this process hears itself', [], () => [{ value: bus.healthy() ? 1 : 0 }])
    gauge('bus_latency_seconds', 'Way of the last self-test', [], () =>
      figures.latencySeconds === undefined ? [] : [{ value: figures.latencySeconds }],
    )
  }
  if (leases !== undefined) {
    gauge('lease_held', 'Leases held by this process', [], () => [{ value: leases.figures.held }])
    counter('lease_acquired_total', 'Leases taken', [], () => [{ value: leases.figures.acquired }])
    counter('lease_lost_total', 'Leases not renewed in time', [], () => [{ value: leases.figures.lost }])
  }
  if (cache !== undefined) {
    const { figures } = cache
    const levels = ['memory', 'table'] as const
    const perLevel = (read: (level: (typeof levels)[number]) => number) => () =>
      levels.map(level => ({ labels: { level }, value: read(level) }))
    counter(
      'cache_hits_total',
      'Values found',
      ['level'],
      perLevel(level => figures[level].hits),
    )
    counter(
      'cache_misses_total',
      'Values not found',
      ['level'],
      perLevel(level => figures[level].misses),
    )
    counter('cache_loads_total', 'Values made', [], () => [{ value: figures.loads }])
    counter('cache_errors_total', 'Errors of the table, taken for misses', [], () => [
      { value: figures.errors },
    ])
    counter('cache_skipped_total', 'Values not kept: too large, or no JSON', [], () => [
      { value: figures.skipped },
    ])
  }
}

const memoMs = 60_000

function ofServer({ db, log }: DatabaseMetrics, gauge: AddLater): void {
  let memo: { at: number; figures: Promise<ServerFigures | undefined> } | undefined
  const read = () => {
    if (memo === undefined || performance.now() - memo.at > memoMs) {
      const figures = readServerFigures(db).catch(error => {
        log.warning('metrics of the database cannot be read now', { error: errorText(error) })
        memo = undefined
        return undefined
      })
      memo = { at: performance.now(), figures }
    }
    return memo.figures
  }
  const cluster = 'true'
  const perRelation = (value: (one: ServerFigures['relations'][number]) => number) => async () =>
    ((await read())?.relations ?? []).map(one => ({
      labels: { relation: one.relation, cluster },
      value: value(one),
    }))
  gauge(
    'db_relation_bytes',
    'Table with indexes',
    ['relation', 'cluster'],
    perRelation(one => one.bytes),
  )
  gauge(
    'db_relation_live_rows',
    'Living rows, estimated',
    ['relation', 'cluster'],
    perRelation(one => one.live),
  )
  gauge(
    'db_relation_dead_rows',
    'Dead rows, estimated',
    ['relation', 'cluster'],
    perRelation(one => one.dead),
  )
  gauge(
    'db_connections',
    'Backends by program and state',
    ['application_name', 'state', 'cluster'],
    async () =>
      ((await read())?.connections ?? []).map(({ application, state, count }) => ({
        labels: { application_name: application, state, cluster },
        value: count,
      })),
  )
  gauge(
    'db_notification_queue_usage',
    'Full part of the queue of notifications, 0 to 1',
    ['cluster'],
    async () => ((await read())?.server ?? []).map(({ queue }) => ({ labels: { cluster }, value: queue })),
  )
  gauge('db_oldest_transaction_seconds', 'Age of the oldest open transaction', ['cluster'], async () =>
    ((await read())?.server ?? []).map(({ oldest }) => ({ labels: { cluster }, value: oldest })),
  )
}

/** A metric whose values are read when it is scraped. */
function collected(
  kind: typeof Gauge | typeof Counter,
  registry: Registry,
  name: string,
  help: string,
  labelNames: string[],
  read: () => Value[] | Promise<Value[]>,
): void {
  const fullName = `authentik_${name}`
  const get = async () => ({
    name: fullName,
    help,
    type: kind === Gauge ? ('gauge' as const) : ('counter' as const),
    aggregator: 'sum' as const,
    values: (await read()).map(({ labels = {}, value }) => ({ labels, value })),
  })
  const shell = new kind({ name: fullName, help, labelNames, registers: [] })
  // A registered metric is asked for its values; the shell only lends its type.
  registry.registerMetric(Object.assign(shell, { get, getForPromString: get }))
}

function histogram(
  registry: Registry,
  name: string,
  help: string,
  labelNames: string[],
  read: () => { labels: Labels; durations: Durations }[],
): void {
  const fullName = `authentik_${name}`
  const get = async () => ({
    name: fullName,
    help,
    type: 'histogram' as const,
    aggregator: 'sum' as const,
    values: read().flatMap(({ labels, durations }) => exposed(fullName, labels, durations)),
  })
  const shell = new Histogram({ name: fullName, help, labelNames, registers: [] })
  registry.registerMetric(Object.assign(shell, { get, getForPromString: get }))
}

function exposed(name: string, labels: Labels, { bounds, counts, count, sumSeconds }: Durations) {
  let upTo = 0
  const buckets = [...bounds, '+Inf'].map((le, at) => {
    upTo += counts[at] ?? 0
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: upTo }
  })
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sumSeconds },
    { metricName: `${name}_count`, labels, value: count },
  ]
}
