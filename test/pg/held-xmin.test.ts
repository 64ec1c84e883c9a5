// A transaction somebody left open keeps every row that dies meanwhile. Sessions, tasks and messages go on at load: nothing is lost, hot
// tables stay bounded, and a waiting task is found as fast as before. 20 seconds; POSTERN_TEST_HELD_MINUTES makes it minutes.
import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { findSession, insertSession, touchSession } from '../../src/core/sessions/sessions.sql.ts'
import { openConnection } from '../../src/pg/client.ts'
import { sql } from '../../src/pg/db.ts'
import { examine } from '../../src/pg/doctor/examine.ts'
import { loadMigrations } from '../../src/pg/migrations.ts'
import { testDatabase } from '../postgres.ts'
import { noting } from '../tasks/engine.ts'
import { startTaskProcess } from '../tasks/process.ts'
import { eventually } from './eventually.ts'

const minutes = Number(process.env.POSTERN_TEST_HELD_MINUTES ?? '')
const seconds = minutes > 0 ? minutes * 60 : 20
const tasksPerSecond = 40
const hot = ['sessions', 'nodes', 'leases', 'bus_blobs', 'task_runs', 'job']

test(`with a transaction held open for ${seconds} s at load nothing is lost, hot tables stay bounded, and tasks start as fast as before`, {
  timeout: (seconds + 200) * 1000,
}, async t => {
  const database = await testDatabase(t)
  const { actor, seen } = noting()
  const one = await startTaskProcess(database.target, [actor], { name: 'held' })
  t.after(() => one.close())
  const { db, tasks, bus } = one
  const keys: Buffer[] = []
  for (let i = 0; i < 50; i++) keys.push(await newSession())
  await batch(20)

  const { client } = await openConnection(database.directTarget(), { applicationName: 'left open' })
  t.after(() => client.end())
  await client.query('begin isolation level repeatable read; select txid_current()')
  const began = performance.now()
  const delays: { at: number; ms: number }[] = []
  let published = 0
  let sent = 0
  let sessions = 0
  while (performance.now() - began < seconds * 1000) {
    const second = performance.now()
    // Sessions come, are used and go.
    for (let i = 0; i < 10; i++) {
      keys.push(await newSession())
      const old = keys.shift()!
      await db.count(sql`delete from ${db.t('sessions')} where key_hash = ${old}`)
      sessions++
    }
    for (const key of keys.slice(0, 20)) {
      const session = await findSession(db, key)
      assert.ok(session !== undefined)
      await db.count(
        sql`update ${db.t('sessions')} set last_used_at = last_used_at - interval '2 minutes' where id = ${session.id}`,
      )
      await touchSession(db, session.id, '127.0.0.1', 'held')
    }
    for (let i = 0; i < 10; i++) bus.publish('held', { n: published++ })
    const at = performance.now()
    const count = seen.length
    await batch(tasksPerSecond)
    sent += tasksPerSecond
    await eventually(() => seen.length >= count + tasksPerSecond, 60_000)
    delays.push({ at: performance.now() - began, ms: performance.now() - at })
    await sleep(Math.max(0, 1000 - (performance.now() - second)))
  }
  const third = Math.max(1, Math.floor(delays.length / 3))
  const median = (list: { ms: number }[]) =>
    list.map(({ ms }) => ms).toSorted((x, y) => x - y)[Math.floor(list.length / 2)] ?? 0
  const [early, late] = [median(delays.slice(0, third)), median(delays.slice(-third))]
  const sizes = await sizesOf()
  const named = await examine({
    main: database.directTarget(),
    direct: database.directTarget(),
    replicas: [],
    schema: 'public',
    migrations: await loadMigrations(join(import.meta.dirname, '../../migrations')),
    appVersion: 'test',
    idleSettings: [],
    longSeconds: 10,
  })
  t.diagnostic(
    `held ${Math.round((performance.now() - began) / 1000)} s: ${sent} tasks, ${sessions} sessions made and ended, ${published} messages; ` +
      `${tasksPerSecond} tasks took ${early.toFixed(0)} ms in the first third, ${late.toFixed(0)} ms in the last; ` +
      [...sizes].map(([name, bytes]) => `${name} ${(bytes / 1024).toFixed(0)} KiB`).join(', '),
  )
  assert.match(
    named.find(({ check }) => check === 'transactions')?.text ?? '',
    /left open.* is open for .* dead rows pile up meanwhile/,
  )
  // Ten times as slow would be a collapse; a machine that is busy with other things is not.
  assert.ok(late < 5 * early + 1000, `${early} → ${late} ms`)
  // What one second's work leaves, times the seconds, with room: dead rows are kept, and nothing else grows.
  const perSecond = 64 * 1024
  for (const [name, bytes] of sizes)
    assert.ok(bytes < 2_000_000 + seconds * perSecond, `${name} has ${bytes} bytes`)
  assert.equal(seen.length, sent + 20)
  assert.equal(new Set(seen.map(({ id }) => id)).size, seen.length, 'a task ran twice')
  const alive = await db.first(sql<{ n: number }>`select count(*)::int as n from ${db.t('sessions')}`)
  assert.equal(alive?.n, keys.length)

  await client.query('rollback')
  // Nobody mends anything: vacuum takes what is dead, and the next rows go into the room.
  await db.rows(sql`vacuum ${db.t('sessions')}`)
  const dead = await db.first(
    sql<{
      n: number
    }>`select n_dead_tup::int as n from pg_stat_user_tables where relname = 'sessions' and schemaname = 'public'`,
  )
  assert.ok((dead?.n ?? 0) < 1000, `${dead?.n} dead rows`)

  async function newSession(): Promise<Buffer> {
    const keyHash = randomBytes(32)
    await insertSession(db, {
      id: randomUUID(),
      keyHash,
      userId: null,
      expiresAt: new Date(Date.now() + 3_600_000),
      ip: '127.0.0.1',
      userAgent: 'held',
      authMethod: '',
      authArgs: {},
      authAt: null,
    })
    return keyHash
  }

  async function batch(count: number): Promise<void> {
    await db.transaction(async tx => {
      for (let i = 0; i < count; i++) await tasks.enqueue(tx, 'note', { text: String(i) })
    })
  }

  /** Bytes of tables with their indexes, partitions added up. */
  async function sizesOf(): Promise<Map<string, number>> {
    const rows = await db.rows(
      sql<{ name: string; bytes: string }>`
        select coalesce(p.relname, c.relname) as name, sum(pg_total_relation_size(c.oid)) as bytes
        from pg_class c join pg_namespace s on s.oid = c.relnamespace
        left join pg_inherits i on i.inhrelid = c.oid left join pg_class p on p.oid = i.inhparent
        where c.relkind = 'r' and s.nspname in ('public', 'pgboss') and coalesce(p.relname, c.relname) = any(${hot}::text[])
        group by 1 order by 1`,
    )
    return new Map(rows.map(({ name, bytes }) => [name, Number(bytes)]))
  }
})
