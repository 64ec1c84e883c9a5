// What the cache's table costs the database over time: how much of the write-ahead log is its, and how large it is after much came and went.
import { randomUUID } from 'node:crypto'
import type { Client } from 'pg'
import { insertSession } from '../src/core/sessions/sessions.sql.ts'
import { silentLog as log } from '../src/log.ts'
import { createCache } from '../src/pg/cache.ts'
import { sweepCache } from '../src/pg/cache-sweep.ts'
import { openConnection } from '../src/pg/client.ts'
import type { Bench, BenchContext } from './context.ts'
import { type Emit, judged } from './figure.ts'
import { startPgNode } from './pg-node.ts'

const logins = 500
/** Far more than is made anew for a login: pages and discovery are made once for everybody. */
const fillsPerLogin = 1
const rounds = 40
const keysPerRound = 2000

export const cacheTable: Bench = { name: 'cache-table', run }

async function run({ postgres, emit }: BenchContext): Promise<void> {
  const { target, adminTarget } = await postgres({ migrated: true })
  const node = await startPgNode(target, 'bench', 4)
  const cache = createCache({ db: node.db, bus: node.bus, log })
  const { client } = await openConnection(adminTarget, { applicationName: 'bench admin' })
  const fill = (count: number, ttlMs: number, bytes: number) =>
    Promise.all(
      Array.from({ length: count }, () =>
        cache.get('bench', randomUUID(), { ttlMs, memory: false, load: async () => 'x'.repeat(bytes) }),
      ),
    )
  try {
    await fill(100, 60_000, 500)
    await client.query('checkpoint')
    const fills = await written(client, () => fill(logins * fillsPerLogin, 60_000, 500))
    await client.query('checkpoint')
    const sessions = await written(client, async () => {
      for (let at = 0; at < logins; at++) await insertSession(node.db, someSession())
    })
    const note = `${Math.round(fills / logins)} B for a value put there, ${Math.round(sessions / logins)} B for the session row of a login alone; one of each`
    const value = (fills / (fills + sessions)) * 100
    emit(judged({ name: 'cache_wal_share', value, unit: '%', goal: '<= 1', note }))
    await churn(node.db, client, fill, emit)
  } finally {
    await client.end()
    cache.close()
    await node.close()
  }
}

/** Values come and end, are swept and vacuumed; then the table is compared with what lives in it. */
async function churn(
  db: Parameters<typeof sweepCache>[0],
  client: Client,
  fill: (count: number, ttlMs: number, bytes: number) => Promise<unknown>,
  emit: Emit,
): Promise<void> {
  await client.query('truncate cache_entries')
  for (let round = 0; round < rounds; round++) {
    await fill(keysPerRound, 3_600_000, 900)
    const { rows } = await client.query<{ total: number; live: number }>(
      `select pg_total_relation_size('cache_entries')::float8 as total,
         (select sum(pg_column_size(c.*))::float8 from cache_entries c where expires_at > now()) as live`,
    )
    if (round === rounds - 1) {
      const value = (rows[0]?.total ?? Number.NaN) / (rows[0]?.live ?? Number.NaN)
      const note = `${keysPerRound} live values after ${(rounds - 1) * keysPerRound} others ended, with the index; swept and vacuumed each round`
      emit(judged({ name: 'cache_table_size', value, unit: 'ratio', goal: '<= 2', note }))
      return
    }
    await client.query("update cache_entries set soft_at = '-infinity', expires_at = '-infinity'")
    await sweepCache(db)
    await client.query('vacuum cache_entries')
  }
}

/** Bytes of write-ahead log, flushed first so that nothing of before counts. */
async function written(client: Client, work: () => Promise<unknown>): Promise<number> {
  const position = async () => {
    const { rows } = await client.query<{ n: number }>(
      "select (pg_current_wal_insert_lsn() - '0/0')::float8 as n",
    )
    return rows[0]?.n ?? Number.NaN
  }
  const before = await position()
  await work()
  return (await position()) - before
}

function someSession(): Parameters<typeof insertSession>[1] {
  return {
    ...{ id: randomUUID(), keyHash: Buffer.from(randomUUID() + randomUUID()).subarray(0, 32), userId: null },
    ...{ expiresAt: new Date(Date.now() + 86_400_000), ip: '192.0.2.7', userAgent: 'Mozilla/5.0 (X11)' },
    ...{ authMethod: 'password', authArgs: {}, authAt: new Date() },
  }
}
