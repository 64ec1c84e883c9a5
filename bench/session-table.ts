// Sessions in great number: does a look-up stay as quick when the table grows, and what does memory hold of a hundred thousand users?
// The rows are made in SQL; most of them have expired, as they may have when nobody has cleaned up for long.
import { createHash } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { silentLog } from '../src/log.ts'
import { openConnection } from '../src/pg/client.ts'
import { createPool } from '../src/pg/pool.ts'
import { createSessions } from '../src/proxy/sessions/sessions.ts'
import type { SessionStore } from '../src/proxy/sessions/store.ts'
import { createPostgresStore } from '../src/proxy/sessions/store-postgres.ts'
import { someClaims } from './claims.ts'
import type { Bench, BenchContext } from './context.ts'
import { type Emit, judged, median, rounded } from './figure.ts'

const sizes = [1_000, 10_000, 100_000, 1_000_000]
const looks = 400
const held = 100_000
const provider = { clientId: 'bench', cookieSecret: 'bench-cookie-secret-of-32-letters' }

export const sessionTable: Bench = {
  name: 'session-table',
  async run(context) {
    await lookUps(context)
    await memory(context.emit)
  },
}

async function lookUps({ postgres, emit }: BenchContext): Promise<void> {
  const { target } = await postgres()
  const pool = createPool({ target: () => target, max: 5, applicationName: 'bench', log: silentLog })
  const { client } = await openConnection(target, { applicationName: 'bench rows' })
  const store = createPostgresStore({ pool, schema: 'public' })
  try {
    await store.prepare()
    const medians: number[] = []
    let rows = 0
    for (const size of sizes) {
      await client.query(addRows, [rows + 1, size])
      await client.query('vacuum analyze proxy_sessions')
      rows = size
      const one = await timeOf(store, size)
      medians.push(one)
      emit({ name: 'session_look_up', value: rounded(one), unit: 'µs', note: `${size} rows` })
    }
    const [first = 1] = medians
    const value = Math.max(...medians) / first
    emit(judged({ name: 'session_look_up_growth', value, unit: 'ratio', goal: '<= 2' }))
    const began = performance.now()
    const removed = await store.cleanUp()
    const ms = Math.round(performance.now() - began)
    emit({ name: 'session_clean_up', value: ms, unit: 'ms', note: `${removed} expired rows in one round` })
  } finally {
    await client.end()
    await pool.close()
  }
}

/** Two of three are expired. Short ones: what grows is the number of rows and the indexes over them. */
const addRows = `
  insert into proxy_sessions (key_hash, client_id, sid_hash, user_hash, sealed, created_at, expires_at)
  select sha256(('key ' || n)::bytea), 'bench', sha256(('sid ' || n)::bytea), sha256(('user ' || n / 3)::bytea),
         decode(md5(n::text) || md5((-n)::text), 'hex'), now() - interval '1 day',
         now() + case when n % 3 = 0 then interval '1 hour' else interval '-1 hour' end
    from generate_series($1::bigint, $2::bigint) as n`

/** Median of reading live rows all over the table, µs. */
async function timeOf(store: SessionStore, size: number): Promise<number> {
  const keys = Array.from({ length: looks }, (_, at) => (Math.floor((at * size) / looks / 3) + 1) * 3)
    .filter(number => number <= size)
    .map(number => createHash('sha256').update(`key ${number}`).digest())
  for (const key of keys.slice(0, 50)) await store.load(key)
  const times: number[] = []
  for (const key of keys) {
    const began = performance.now()
    const found = await store.load(key)
    times.push((performance.now() - began) * 1000)
    if (found === null) throw new Error('the benchmark looked for a row that is not there')
  }
  return median(times)
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
