// What the database shows of an installation at work, one look after the other, and the pictures of it.
import type { Client } from 'pg'
import { type Line, linePicture } from './plot.ts'

export interface Sample {
  /** minutes since the load began */
  minute: number
  /** MiB with indexes, by table; partitions count with theirs */
  passing: Record<string, number>
  kept: Record<string, number>
  /** MiB of indexes alone, of all of these tables */
  indexes: number
  backends: Record<string, number>
  statements: number
  walKiB: number
  deadRows: number
  /** MiB */
  rss: Record<string, number>
}

/** Rows come and go: these must level off. */
const passing = ['job', 'bus_blobs', 'nodes', 'leases', 'cache_entries', 'flow_plans']
/** Rows stay for as long as they are good for, or as somebody wants to read them; a used code for an hour. */
const kept = [
  'sessions',
  'proxy_sessions',
  'oauth_codes',
  'oauth_access_tokens',
  'events',
  'task_runs',
  'task_logs',
]

/** Looks; rates are those since the last look. */
export function createSampler(options: {
  client: Client
  /** connected to the database that has pg_stat_statements */
  statistics: Client
  database: string
  rss: Record<string, () => Promise<number>>
}): () => Promise<Sample> {
  const { client, statistics, database, rss } = options
  const began = performance.now()
  let last: { at: number; calls: number; wal: number } | null = null
  return async () => {
    const sizes = await client.query<{ name: string; total: number; indexes: number; dead: number }>(
      `select coalesce(split_part(p.inhparent::regclass::text, '.', -1), c.relname) as name,
              sum(pg_total_relation_size(c.oid))::float8 / 1048576 as total, sum(pg_indexes_size(c.oid))::float8 / 1048576 as indexes,
              sum(s.n_dead_tup)::float8 as dead
         from pg_class c left join pg_inherits p on p.inhrelid = c.oid join pg_stat_user_tables s on s.relid = c.oid
        where c.relkind = 'r' group by 1`,
    )
    const backends = await client.query<{ name: string; count: number }>(
      `select split_part(application_name, '/', 2) as name, count(*)::int as count from pg_stat_activity
        where datname = $1 and backend_type = 'client backend' and application_name like 'postern/%' group by 1`,
      [database],
    )
    const now = await statistics.query<{ calls: number; wal: number }>(
      `select (pg_current_wal_insert_lsn() - '0/0')::float8 as wal, (select sum(s.calls)::float8 from pg_stat_statements s
         join pg_database d on d.oid = s.dbid where d.datname = $1) as calls`,
      [database],
    )
    const at = performance.now()
    const { calls = 0, wal = 0 } = now.rows[0] ?? {}
    const seconds = last === null ? Number.NaN : (at - last.at) / 1000
    const known = [...passing, ...kept]
    const mine = sizes.rows
      .map(row => ({ ...row, name: row.name.startsWith('job') ? 'job' : row.name }))
      .filter(({ name }) => known.includes(name))
    const of = (names: string[]) =>
      Object.fromEntries(
        names.map(name => [name, sum(mine.filter(row => row.name === name).map(row => row.total))]),
      )
    const sample: Sample = {
      minute: (at - began) / 60_000,
      ...{ passing: of(passing), kept: of(kept) },
      indexes: sum(mine.map(row => row.indexes)),
      deadRows: sum(mine.map(row => row.dead)),
      backends: Object.fromEntries(backends.rows.map(({ name, count }) => [name, count])),
      statements: last === null ? 0 : (calls - last.calls) / seconds,
      walKiB: last === null ? 0 : (wal - last.wal) / seconds / 1024,
      rss: {},
    }
    for (const [name, read] of Object.entries(rss)) sample.rss[name] = await read()
    last = { at, calls, wal }
    return sample
  }
}

/** What ought to level off, by name, as one number of a sample. */
export const levels: Record<string, (sample: Sample) => number> = {
  'passing tables': sample => sum(Object.values(sample.passing)),
  backends: sample => sum(Object.values(sample.backends)),
  statements: sample => sample.statements,
  'dead rows': sample => sample.deadRows,
  memory: sample => sum(Object.values(sample.rss)),
}

/** Mean of the last third over the mean of the middle third: 1 is a plateau. */
export function lastToMiddle(samples: Sample[], read: (sample: Sample) => number): number {
  const third = Math.floor(samples.length / 3)
  const mean = (part: Sample[]) => sum(part.map(read)) / Math.max(1, part.length)
  return mean(samples.slice(2 * third)) / (mean(samples.slice(third, 2 * third)) || 1)
}

export function soakPicture(title: string, samples: Sample[]): string {
  const line = (label: string, read: (sample: Sample) => number): Line => ({
    ...{ label, points: samples.map(sample => [sample.minute, read(sample)] as const) },
  })
  const several = (read: (sample: Sample) => Record<string, number>, most: number): Line[] => {
    const names = [...new Set(samples.flatMap(sample => Object.keys(read(sample))))]
    const height = (name: string) => Math.max(...samples.map(sample => read(sample)[name] ?? 0))
    const shown = names.toSorted((a, b) => height(b) - height(a)).slice(0, most)
    return shown.map(name => line(name, sample => read(sample)[name] ?? 0))
  }
  return linePicture({
    ...{ title, across: 'minutes', columns: 2 },
    panels: [
      { title: 'tables whose rows come and go', unit: 'MiB', lines: several(sample => sample.passing, 4) },
      { title: 'tables whose rows are kept', unit: 'MiB', lines: several(sample => sample.kept, 3) },
      { title: 'indexes of these tables', unit: 'MiB', lines: [line('indexes', sample => sample.indexes)] },
      { title: 'dead rows', unit: 'rows', lines: [line('dead', sample => sample.deadRows)] },
      { title: 'backends', unit: 'connections', lines: several(sample => sample.backends, 4) },
      { title: 'memory', unit: 'MiB resident', lines: several(sample => sample.rss, 4) },
      { title: 'statements', unit: 'per second', lines: [line('all', sample => sample.statements)] },
      { title: 'write-ahead log', unit: 'KiB per second', lines: [line('all', sample => sample.walKiB)] },
    ],
  })
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + Number(value), 0)
}
