// A histogram for the hot path: one array per set of labels, counted without allocation, read by prom-client only when scraped.
import { Histogram, type Registry } from 'prom-client'

export interface HotSeries {
  /** @param seconds duration */
  observe(seconds: number): void
}

export interface HotHistogram<Label extends string> {
  /** The series of these labels; look it up once and keep it. Beyond `maxSeries` all share one whose labels read `other`. */
  series(labels: Record<Label, string>): HotSeries
}

/** Prometheus' own default buckets, seconds. */
const defaultBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/**
 * @param options.registry where it is registered under `name`
 * @param options.buckets upper bounds in seconds, ascending; default those of Prometheus
 * @param options.maxSeries bound of label sets, whatever clients send; default 2,000
 */
export function createHotHistogram<Label extends string>(options: {
  name: string
  help: string
  labelNames: readonly Label[]
  registry: Registry
  buckets?: readonly number[]
  maxSeries?: number
}): HotHistogram<Label> {
  const { name, help, labelNames, registry, buckets = defaultBuckets, maxSeries = 2000 } = options
  const all = new Map<string, Series>()
  const get = async () => ({
    name,
    help,
    type: 'histogram' as const,
    aggregator: 'sum' as const,
    values: [...all.values()].flatMap(series => exposed(name, buckets, series)),
  })
  const shell = new Histogram({ name, help, labelNames: [...labelNames], registers: [] })
  // prom-client asks a registered metric for its values; the shell only lends its type.
  registry.registerMetric(Object.assign(shell, { get, getForPromString: get }))
  return {
    series(labels) {
      const key = JSON.stringify(labelNames.map(label => labels[label]))
      const known = all.get(key)
      if (known !== undefined) return known
      if (all.size < maxSeries) return add(key, labels)
      const other: Record<string, string> = Object.fromEntries(labelNames.map(label => [label, 'other']))
      return all.get('other') ?? add('other', other)
    },
  }

  function add(key: string, labels: Record<string, string>): Series {
    const series = createSeries(buckets, { ...labels })
    all.set(key, series)
    return series
  }
}

interface Series extends HotSeries {
  labels: Record<string, string>
  /** per bucket, then above all, then the sum */
  cells: Float64Array
}

function createSeries(buckets: readonly number[], labels: Record<string, string>): Series {
  const cells = new Float64Array(buckets.length + 2)
  const sum = buckets.length + 1
  return {
    labels,
    cells,
    observe(seconds) {
      let at = 0
      while (at < buckets.length && seconds > (buckets[at] ?? 0)) at++
      cells[at] = (cells[at] ?? 0) + 1
      cells[sum] = (cells[sum] ?? 0) + seconds
    },
  }
}

function exposed(name: string, buckets: readonly number[], { labels, cells }: Series) {
  let count = 0
  const values = [...buckets, '+Inf'].map((le, at) => {
    count += cells[at] ?? 0
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: count }
  })
  return [
    ...values,
    { metricName: `${name}_sum`, labels, value: cells[buckets.length + 1] ?? 0 },
    { metricName: `${name}_count`, labels, value: count },
  ]
}
