// What processes agree on through PostgreSQL, one at a time on one connection: a lock inside a transaction, a lease, a cache that is
// forgotten everywhere; and what a start finds to do when there is nothing to do.
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { silentLog as log } from '../src/log.ts'
import { createCache } from '../src/pg/cache.ts'
import { openConnection } from '../src/pg/client.ts'
import { sql } from '../src/pg/db.ts'
import { lockInTx } from '../src/pg/lock.ts'
import { migrate } from '../src/pg/migrate.ts'
import { loadMigrations } from '../src/pg/migrations.ts'
import type { PgTarget } from '../src/pg/target.ts'
import type { Bench, BenchContext } from './context.ts'
import { type Emit, judged, median, rounded } from './figure.ts'
import { startPgNode } from './pg-node.ts'

const transactions = 1000
const leasesTaken = 500
const starts = 30
const processes = 4
const invalidations = 100

export const coordination: Bench = { name: 'coordination', run }

type Node = Awaited<ReturnType<typeof startPgNode>>

async function run({ postgres, emit }: BenchContext): Promise<void> {
  const { target } = await postgres({ migrated: true })
  const nodes: Node[] = []
  try {
    for (let at = 0; at < processes; at++) nodes.push(await startPgNode(target, `bench ${at}`, 2))
    const [node] = nodes as [Node]
    await locks(node, emit)
    await leaseTimes(node, emit)
    await emptyStart(target, emit)
    await forgetting(nodes, emit)
  } finally {
    await Promise.all(nodes.map(node => node.close()))
  }
}

/** The same transaction with a lock and without one, in turns. */
async function locks({ db }: Node, emit: Emit): Promise<void> {
  const [plain, locked]: [number[], number[]] = [[], []]
  for (let at = 0; at < transactions; at++) {
    plain.push(await timed(() => db.transaction(tx => tx.rows(sql`select 1`))))
    locked.push(
      await timed(() =>
        db.transaction(async tx => {
          await lockInTx(tx, 'task', String(at))
          await tx.rows(sql`select 1`)
        }),
      ),
    )
  }
  const [without, value] = [median(plain), median(locked) - median(plain)]
  const note = `medians; the transaction without it takes ${rounded(without)} ms`
  emit(judged({ name: 'lock_added', value, unit: 'ms', goal: '<= 0.3', note }))
}

async function leaseTimes({ db, leases }: Node, emit: Emit): Promise<void> {
  const [times, rows]: [number[], number[]] = [[], []]
  await db.rows(sql`create table bench_rows (id integer primary key)`)
  for (let at = 0; at < leasesTaken; at++) {
    rows.push(await timed(() => db.count(sql`insert into bench_rows values (${at})`)))
    const began = performance.now()
    const lease = await leases.acquire(`bench ${at}`)
    times.push(performance.now() - began)
    if (lease === null) throw new Error('the benchmark did not get a lease nobody has')
    await lease.release()
  }
  const row = `one insert of a row in the same seconds takes p50 ${rounded(share(rows, 0.5))}, p99 ${rounded(share(rows, 0.99))} ms`
  const note = `p50 ${rounded(share(times, 0.5))} ms; ${row}`
  emit(judged({ name: 'lease_acquire_p99', value: share(times, 0.99), unit: 'ms', goal: '<= 2', note }))
}

async function emptyStart(target: PgTarget, emit: Emit): Promise<void> {
  const migrations = await loadMigrations(join(import.meta.dirname, '../migrations'))
  const options = { target, schema: 'public', migrations, appVersion: 'bench', log, mode: 'apply' as const }
  const [times, connections]: [number[], number[]] = [[], []]
  for (let at = 0; at < starts; at++) {
    times.push(await timed(() => migrate(options)))
    connections.push(await timed(() => connectAndLeave(target)))
  }
  const note = `medians; one connection with one statement, and a connection alone takes ${rounded(median(connections))} ms`
  emit(judged({ name: 'start_nothing_to_migrate', value: median(times), unit: 'ms', goal: '<= 10', note }))
}

/** Each process has the value in its memory; from the invalidation's answer until the last of them makes a new one. */
async function forgetting(nodes: Node[], emit: Emit): Promise<void> {
  const caches = nodes.map(({ db, bus }) => createCache({ db, bus, log }))
  const [first] = caches as [(typeof caches)[0]]
  const times: number[] = []
  try {
    for (let round = 0; round < invalidations; round++) {
      const made = randomUUID()
      const ask = (cache: (typeof caches)[0], value: string) =>
        cache.get('bench', 'key', { ttlMs: 600_000, load: async () => value })
      for (const cache of caches)
        while ((await ask(cache, made)) !== made) await new Promise(resolve => setTimeout(resolve, 1))
      await first.invalidate('bench')
      const began = performance.now()
      const next = randomUUID()
      await Promise.all(
        caches.map(async cache => {
          while ((await ask(cache, next)) === made) await new Promise(resolve => setTimeout(resolve, 1))
        }),
      )
      times.push(performance.now() - began)
      await first.invalidate('bench')
    }
  } finally {
    for (const cache of caches) cache.close()
  }
  const note = `p50 ${rounded(share(times, 0.5))} ms; ${processes} processes' worth of caches, until the last has the new value`
  emit(
    judged({ name: 'cache_invalidation_p99', value: share(times, 0.99), unit: 'ms', goal: '<= 100', note }),
  )
}

async function connectAndLeave(target: PgTarget): Promise<void> {
  const { client } = await openConnection(target, { applicationName: 'bench' })
  await client.end()
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

function share(times: readonly number[], of: number): number {
  const sorted = times.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * of))] ?? Number.NaN
}
