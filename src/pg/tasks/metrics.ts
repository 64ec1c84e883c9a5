// Metrics of tasks: asked of the database by whichever process is scraped, at most every ten seconds, so that they survive restarts
// and count everything once. They describe the installation, not the process: label `cluster="true"`.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { errorText, type Log } from '../../log.ts'
import { type Db, sql } from '../db.ts'
import { bossSchema } from './boss-schema.ts'
import { type ActorFigures, durationBounds, totalFigures } from './rollups.ts'
import { liveWorkers } from './workers.ts'

const memoMs = 10_000

interface Waiting {
  queue: string
  actor: string
  queued: number
  running: number
  delayed: number
  oldest_seconds: number
}

interface Snapshot {
  figures: ActorFigures[]
  waiting: Waiting[]
  workers: { version: string; count: number }[]
}

/** Names without prefix, each exported as it is and with the reference's prefix. */
const prefixes = ['', 'authentik_']

/**
 * Adds the metrics to a registry.
 * @param options.version of this program, for `version_matched`
 */
export function registerTaskMetrics(
  registry: Registry,
  db: Db,
  options: { version: string; log: Log },
): void {
  let memo: { at: number; snapshot: Promise<Snapshot | null> } | undefined
  const snapshot = async (): Promise<Snapshot | null> => {
    if (memo === undefined || performance.now() - memo.at > memoMs) {
      memo = {
        at: performance.now(),
        snapshot: readSnapshot(db).catch(error => {
          options.log.warning('metrics of tasks cannot be read now', { error: errorText(error) })
          memo = undefined
          return null
        }),
      }
    }
    return await memo.snapshot
  }
  for (const prefix of prefixes) {
    registerCounters(registry, prefix, snapshot)
    registerGauges(registry, prefix, snapshot, options.version)
    registerDurations(registry, prefix, snapshot)
  }
}

type Read = () => Promise<Snapshot | null>
const actorLabels = ['queue_name', 'actor_name', 'cluster']

function labelsOf(row: { queue: string; actor: string }) {
  return { queue_name: row.queue, actor_name: row.actor, cluster: 'true' }
}

function registerCounters(registry: Registry, prefix: string, read: Read): void {
  const counters: [name: string, help: string, value: (row: ActorFigures) => number][] = [
    ['tasks_total', 'Runs of tasks that ended.', row => row.runs],
    ['tasks_errors_total', 'Runs that failed.', row => row.errors],
    ['tasks_retries_total', 'Runs that failed and were followed by another attempt.', row => row.retries],
    ['tasks_rejected_total', 'Tasks that failed for good.', row => row.rejected],
    ['tasks_leases_expired_total', 'Runs that ended with their worker.', row => row.lost],
    ['tasks_cancelled_total', 'Tasks that were cancelled.', row => row.cancelled],
    [
      'tasks_abandoned_total',
      'Runs that did not end when told to, and were left behind.',
      row => row.abandoned,
    ],
    ['tasks_deduplicated_total', 'Tasks that one that waits stands for.', row => row.deduplicated],
  ]
  for (const [name, help, value] of counters) {
    new Counter({
      name: prefix + name,
      help,
      labelNames: actorLabels,
      registers: [registry],
      async collect() {
        const found = await read()
        this.reset()
        for (const row of found?.figures ?? []) this.inc(labelsOf(row), value(row))
      },
    })
  }
}

function registerGauges(registry: Registry, prefix: string, read: Read, version: string): void {
  const gauge = (
    name: string,
    help: string,
    labelNames: string[],
    fill: (gauge: Gauge, found: Snapshot) => void,
  ) =>
    new Gauge({
      name: prefix + name,
      help,
      labelNames,
      registers: [registry],
      async collect() {
        const found = await read()
        this.reset()
        if (found !== null) fill(this, found)
      },
    })
  gauge('tasks_queued', 'Tasks that wait.', actorLabels, (metric, { waiting }) => {
    for (const row of waiting) metric.set(labelsOf(row), row.queued)
  })
  gauge(
    'tasks_delayed_in_progress',
    'Tasks that wait for a later time.',
    actorLabels,
    (metric, { waiting }) => {
      for (const row of waiting) metric.set(labelsOf(row), row.delayed)
    },
  )
  const running = prefix === '' ? 'tasks_running' : 'tasks_in_progress'
  gauge(running, 'Tasks that run.', actorLabels, (metric, { waiting }) => {
    for (const row of waiting) metric.set(labelsOf(row), row.running)
  })
  gauge(
    'tasks_oldest_seconds',
    'Age of the oldest task that could run.',
    ['queue_name', 'cluster'],
    (metric, { waiting }) => {
      for (const { queue } of waiting) {
        const ages = waiting.filter(row => row.queue === queue).map(row => row.oldest_seconds)
        metric.set({ queue_name: queue, cluster: 'true' }, Math.max(...ages))
      }
    },
  )
  const workers = (name: string) =>
    gauge(name, 'Processes that run tasks.', ['version', 'version_matched', 'cluster'], (metric, found) => {
      for (const row of found.workers) {
        const matched = row.version === version ? 'True' : 'False'
        metric.set({ version: row.version, version_matched: matched, cluster: 'true' }, row.count)
      }
    })
  workers('tasks_workers')
  if (prefix !== '') workers('admin_workers')
}

/** A histogram whose buckets are counted elsewhere. */
function registerDurations(registry: Registry, prefix: string, read: Read): void {
  const inMs = prefix !== ''
  const name = `${prefix}${inMs ? 'tasks_duration_milliseconds' : 'tasks_duration_seconds'}`
  const factor = inMs ? 1000 : 1
  const help = 'How long runs of tasks took.'
  const get = async () => {
    const found = await read()
    const values = (found?.figures ?? []).flatMap(row => histogramValues(name, row, factor))
    return { name, help, type: 'histogram' as const, aggregator: 'sum' as const, values }
  }
  // prom-client asks a registered metric for its values; the shell only lends its type.
  const shell = new Histogram({ name, help, labelNames: actorLabels, registers: [] })
  registry.registerMetric(Object.assign(shell, { get, getForPromString: get }))
}

function histogramValues(name: string, row: ActorFigures, factor: number) {
  const labels = labelsOf(row)
  let below = 0
  const buckets = row.histogram.map((count, i) => {
    below += count
    const bound = durationBounds[i]
    return {
      metricName: `${name}_bucket`,
      labels: { ...labels, le: bound === undefined ? '+Inf' : bound * factor },
      value: below,
    }
  })
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: (row.sum_ms / 1000) * factor },
    { metricName: `${name}_count`, labels, value: row.runs },
  ]
}

async function readSnapshot(db: Db): Promise<Snapshot> {
  const [figures, waiting, workers] = await Promise.all([totalFigures(db), readWaiting(db), liveWorkers(db)])
  const byVersion = Map.groupBy(workers, worker => worker.version)
  return {
    figures,
    waiting,
    workers: [...byVersion].map(([version, all]) => ({ version, count: all.length })),
  }
}

/** Of the jobs themselves, by columns: half a million waiting ones are counted without reading what is in them. */
async function readWaiting(db: Db): Promise<Waiting[]> {
  return await db.rows(
    sql<Waiting>`
    select name as queue, group_id as actor, (count(*) filter (where state < 'active'))::int as queued,
      (count(*) filter (where state = 'active'))::int as running,
      (count(*) filter (where state < 'active' and start_after > now()))::int as delayed,
      coalesce(extract(epoch from now() - min(start_after) filter (where state < 'active' and start_after <= now())), 0)::float8
        as oldest_seconds
    from ${sql.raw(bossSchema(db.schema))}.job where state <= 'active' and group_id is not null group by 1, 2 order by 1, 2`,
    { retry: true },
  )
}
