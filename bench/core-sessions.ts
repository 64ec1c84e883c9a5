// A million sessions of Core: what looking one up takes, what a row weighs, what an authenticated request writes, and what it is like when
// a million of them have expired and go.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from 'pg'
import { deleteExpired } from '../src/core/outposts/housekeeping.sql.ts'
import { batchSize } from '../src/core/outposts/housekeeping.ts'
import { findSession, touchSession } from '../src/core/sessions/sessions.sql.ts'
import { silentLog } from '../src/log.ts'
import { openConnection } from '../src/pg/client.ts'
import { createDb, type Db } from '../src/pg/db.ts'
import { createPool } from '../src/pg/pool.ts'
import type { Bench, BenchContext } from './context.ts'
import { type Emit, judged, rounded } from './figure.ts'
import { makeSessions, sessionKey } from './made-sessions.ts'

const sessions = 1_000_000
const users = 100_000
const loads = 5000
const perSecond = 1000
/** As many requests as one user makes a minute who makes one a second; one of them notes the use. */
const requestsPerTouch = 60

export const coreSessions: Bench = { name: 'core-sessions', run }

async function run({ postgres, emit }: BenchContext): Promise<void> {
  const { target, adminTarget } = await postgres({ migrated: true })
  await makeSessions(target, { users, sessions })
  const pool = createPool({
    ...{ target: () => target, max: 10, applicationName: 'bench', log: silentLog },
    // What cannot be answered in time shows as a long time, not as an error.
    ...{ maxWaiting: loads, acquireTimeoutMs: 60_000 },
  })
  const db = createDb({ pool, schema: 'public', log: silentLog })
  const { client } = await openConnection(adminTarget, { applicationName: 'bench admin' })
  try {
    const bytes = await number(client, "select pg_total_relation_size('sessions')::float8 / $1 as n", [
      sessions,
    ])
    emit(judged({ name: 'session_row', value: bytes, unit: 'B', goal: '<= 1200', note: 'with its indexes' }))
    await load(db, 1000)
    const began = performance.now()
    const times = await load(db, loads)
    const rate = Math.round(loads / ((performance.now() - began) / 1000))
    const asked = `${rate} a second (${perSecond} asked for), each from when it is sent to its answer, with its wait for a connection`
    const note = `p50 ${rounded(share(times, 0.5))} ms at ${asked}; ${sessions} rows`
    emit(judged({ name: 'session_load_p99', value: share(times, 0.99), unit: 'ms', goal: '<= 2', note }))
    const one = await loadAlone(db)
    const p50 = `p50 ${rounded(share(one, 0.5))} ms; one after the other`
    emit({ name: 'session_load_alone_p99', value: rounded(share(one, 0.99)), unit: 'ms', note: p50 })
    await writes(db, client, emit)
    await expiry(db, client, emit)
  } finally {
    await client.end()
    await db.close()
  }
}

/** Loads at an even pace, whatever the last one takes; sorted times in ms. */
async function load(db: Db, count: number): Promise<number[]> {
  const times: number[] = []
  const began = performance.now()
  const one = async () => {
    const at = performance.now()
    const found = await findSession(db, sessionKey(Math.floor(Math.random() * sessions)))
    if (found?.principal == null) throw new Error('the benchmark looked for a session that is not there')
    times.push(performance.now() - at)
  }
  const all: Promise<void>[] = []
  while (all.length < count) {
    const due = Math.min(count, Math.floor(((performance.now() - began) / 1000) * perSecond))
    while (all.length < due) {
      const started = one()
      started.catch(() => {}) // told below
      all.push(started)
    }
    await sleep(1)
  }
  await Promise.all(all)
  return times.toSorted((a, b) => a - b)
}

async function loadAlone(db: Db): Promise<number[]> {
  const times: number[] = []
  while (times.length < loads / 5) {
    const at = performance.now()
    await findSession(db, sessionKey(Math.floor(Math.random() * sessions)))
    times.push(performance.now() - at)
  }
  return times.toSorted((a, b) => a - b)
}

async function writes(db: Db, client: Client, emit: Emit): Promise<void> {
  const requests = 12_000
  const touched: string[] = []
  for (let at = 0; at < requests / requestsPerTouch; at++) {
    const found = await findSession(db, sessionKey(at * 4999))
    touched.push(found?.id ?? '')
  }
  await client.query("update sessions set last_used_at = now() - interval '1 hour' where id = any($1)", [
    touched,
  ])
  await client.query('checkpoint')
  const lsn = "select (pg_current_wal_insert_lsn() - '0/0')::float8 as n"
  const before = await number(client, lsn)
  for (let at = 0; at < requests; at++) {
    await findSession(db, sessionKey(at))
    if (at % requestsPerTouch === 0)
      await touchSession(
        db,
        touched[at / requestsPerTouch] ?? '',
        '192.0.2.8',
        'Mozilla/5.0 (X11; Linux x86_64)',
      )
  }
  const value = ((await number(client, lsn)) - before) / requests
  const note =
    'one a second per user, one of 60 notes the use; right after a checkpoint, which is the dearest'
  emit(judged({ name: 'session_wal_per_request', value, unit: 'B', goal: '<= 200', note }))
}

/** All expire at once; meanwhile others go on looking for their sessions. */
async function expiry(db: Db, client: Client, emit: Emit): Promise<void> {
  await client.query("update sessions set expires_at = now() - interval '1 hour'")
  await client.query('vacuum analyze sessions')
  const times: number[] = []
  let over = false
  const others: number[] = []
  const looking = (async () => {
    while (!over) {
      const at = performance.now()
      await findSession(db, sessionKey(Math.floor(Math.random() * sessions)))
      others.push(performance.now() - at)
      await sleep(5)
    }
  })()
  const began = performance.now()
  let total = 0
  for (;;) {
    const at = performance.now()
    const count = (await deleteExpired(db, 'sessions', batchSize)) ?? 0
    times.push(performance.now() - at)
    total += count
    if (count < batchSize) break
  }
  const seconds = (performance.now() - began) / 1000
  over = true
  await looking
  times.sort((a, b) => a - b)
  others.sort((a, b) => a - b)
  const note =
    `${total} rows in ${seconds.toFixed(1)} s, ${batchSize} at a time; the longest statement ${rounded(times.at(-1) ?? 0)} ms; ` +
    `looking up a session meanwhile p50 ${rounded(share(others, 0.5))}, p99 ${rounded(share(others, 0.99))} ms`
  emit(judged({ name: 'session_expiry_p99', value: share(times, 0.99), unit: 'ms', goal: '<= 50', note }))
}

function share(sorted: readonly number[], of: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * of))] ?? 0
}

async function number(client: Client, text: string, values: unknown[] = []): Promise<number> {
  const { rows } = await client.query<{ n: number }>(text, values)
  return rows[0]?.n ?? Number.NaN
}
