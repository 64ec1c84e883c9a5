// Sessions in great number: does a look-up stay as quick when the table grows, and what does memory hold of a hundred thousand users?
// The rows are made in SQL; most of them have expired, as they may have when nobody has cleaned up for long.
import { createHash } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Client } from 'pg'
import { silentLog } from '../src/log.ts'
import { openConnection } from '../src/pg/client.ts'
import { createPool } from '../src/pg/pool.ts'
import type { PgTarget } from '../src/pg/target.ts'
import { createSessions } from '../src/proxy/sessions/sessions.ts'
import type { SessionStore } from '../src/proxy/sessions/store.ts'
import { createPostgresStore } from '../src/proxy/sessions/store-postgres.ts'
import { someClaims } from './claims.ts'
import type { Bench, BenchContext } from './context.ts'
import { type Emit, judged, median, rounded } from './figure.ts'

const sizes = [1_000, 10_000, 100_000, 1_000_000]
/** rows of the table that does not grow */
const few = 1_000
const looks = 400
const held = 100_000
const provider = { clientId: 'bench', cookieSecret: 'bench-cookie-secret-of-32-letters' }

export const sessionTable: Bench = {
  name: 'session-table',
  async run(context) {
    await lookUps(context, sizes)
    await memory(context.emit)
  },
}

/** Ten million rows take minutes to make. */
export const largeSessionTable: Bench = {
  name: 'session-table-large',
  byNameOnly: true,
  run: context => lookUps(context, [...sizes.filter(size => size !== 10_000), 10_000_000]),
}

async function lookUps({ postgres, emit }: BenchContext, sizes: number[]): Promise<void> {
  // A table of a thousand rows is asked in turns with the one that grows: the rest of the machine disturbs both alike.
  const small = await openTable((await postgres()).target)
  const table = await openTable((await postgres()).target)
  try {
    await small.grow(few)
    const ratios: number[] = []
    for (const size of sizes) {
      await table.grow(size)
      // The first time a page may come from the disk, which says more about the machine than about the table.
      const [first] = await timesOf({ store: table.store, size })
      const [one = 0, other = 1] = await timesOf(
        { store: table.store, size },
        { store: small.store, size: few },
      )
      ratios.push(one / other)
      const note = `${size.toLocaleString('en-US')} rows; ${rounded(first ?? 0)} when they were looked up first; ${rounded(other)} among ${few} in the same seconds`
      emit({ name: 'session_look_up', value: rounded(one), unit: 'µs', note })
    }
    const value = Math.max(...ratios)
    emit(judged({ name: 'session_look_up_growth', value, unit: 'ratio', goal: '<= 2' }))
    const began = performance.now()
    const removed = await table.store.cleanUp()
    const ms = Math.round(performance.now() - began)
    emit({ name: 'session_clean_up', value: ms, unit: 'ms', note: `${removed} expired rows in one round` })
  } finally {
    await Promise.all([small.close(), table.close()])
  }
}

async function openTable(target: PgTarget) {
  const pool = createPool({ target: () => target, max: 5, applicationName: 'bench', log: silentLog })
  const { client } = await openConnection(target, { applicationName: 'bench rows' })
  const store = createPostgresStore({ pool, schema: 'public' })
  await store.prepare()
  let rows = 0
  return {
    store,
    async grow(size: number) {
      await withoutIndexes(client, () => client.query(addRows, [rows + 1, size]))
      await client.query('vacuum analyze proxy_sessions')
      rows = size
    },
    async close() {
      await client.end()
      await pool.close()
    },
  }
}

/** Two of three are expired. Short ones: what grows is the number of rows and the indexes over them. */
const addRows = `
  insert into proxy_sessions (key_hash, client_id, sid_hash, user_hash, sealed, created_at, expires_at)
  select hash, 'bench', hash, hash, hash, now() - interval '1 day',
         now() + case when n % 3 = 0 then interval '1 hour' else interval '-1 hour' end
    from (select n, sha256(('key ' || n)::bytea) as hash from generate_series($1::bigint, $2::bigint) as n) as made`

/** An index over all rows is made faster than one that every row goes into by itself. */
async function withoutIndexes(client: Client, work: () => Promise<unknown>): Promise<void> {
  const { rows } = await client.query<{ name: string; definition: string }>(
    "select indexname as name, indexdef as definition from pg_indexes where tablename = 'proxy_sessions'",
  )
  await client.query('alter table proxy_sessions drop constraint proxy_sessions_pkey')
  const others = rows.filter(({ name }) => name !== 'proxy_sessions_pkey')
  for (const { name } of others) await client.query(`drop index ${name}`)
  await work()
  await client.query("set maintenance_work_mem = '512MB'")
  await client.query('alter table proxy_sessions add constraint proxy_sessions_pkey primary key (key_hash)')
  for (const { definition } of others) await client.query(definition)
}

/** Medians of reading live rows all over each table, in turns, µs. */
async function timesOf(...tables: { store: SessionStore; size: number }[]): Promise<number[]> {
  const times = tables.map(() => [] as number[])
  for (let at = 0; at < looks; at++)
    for (const [which, { store, size }] of tables.entries()) {
      const number = (Math.floor((at * (size - 3)) / looks / 3) + 1) * 3
      const key = createHash('sha256').update(`key ${number}`).digest()
      const began = performance.now()
      const found = await store.load(key)
      times[which]?.push((performance.now() - began) * 1000)
      if (found === null) throw new Error('the benchmark looked for a row that is not there')
    }
  return times.map(median)
}

/** What a process holds when it remembers that many sessions, over what it held before. */
async function memory(emit: Emit): Promise<void> {
  const store = rememberingNothing()
  const sessions = createSessions({ store, leaseMs: 30_000, maxEntries: held, log: silentLog })
  const collect = collector()
  collect()
  const before = process.memoryUsage()
  for (let user = 0; user < held; user++)
    await sessions.create(provider, someClaims(user), Date.now() + 3_600_000)
  collect()
  const after = process.memoryUsage()
  const perSession = (after.heapUsed + after.external - before.heapUsed - before.external) / held
  const note = `${Math.round((after.rss - before.rss) / 1024 / 1024)} MiB resident for ${held} sessions with claims of 2 KiB`
  emit(judged({ name: 'session_memory', value: perSession / 1024, unit: 'KiB', goal: '<= 8', note }))
  const began = performance.now()
  const sid = someClaims(held - 1).sid
  await sessions.endBySid(sid)
  emit({
    name: 'session_evict',
    value: rounded((performance.now() - began) * 1000),
    unit: 'µs',
    note: `one of ${held}`,
  })
  await sessions.close()
}

/** The garbage collector as a function, without a flag on the command line. */
function collector(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}

/** Only memory is measured: a store that takes everything and keeps nothing. */
function rememberingNothing(): SessionStore {
  const none = async () => 0
  return {
    backend: 'filesystem',
    prepare: async () => {},
    load: async () => null,
    live: async () => [],
    save: async () => {},
    deleteByKey: none,
    deleteBySid: none,
    deleteByUser: none,
    deleteByProvider: none,
    deleteAll: none,
    cleanUp: none,
    check: async () => {},
    close: async () => {},
  }
}
