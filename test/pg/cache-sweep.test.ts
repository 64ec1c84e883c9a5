import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { sweepCache } from '../../src/pg/cache-sweep.ts'
import { createCacheSweeper } from '../../src/pg/cache-sweeper.ts'
import { sql } from '../../src/pg/db.ts'
import { caches } from './cache-processes.ts'
import { eventually } from './eventually.ts'

test('clean-up deletes what has expired by ranges of pages, spares claims, and empties a table that is too large', async t => {
  const {
    database,
    caches: [a],
  } = await caches(t, 1)
  await database.db.count(sql`insert into cache_entries (key, value, load_ms, soft_at, expires_at)
    select sha256(i::text::bytea), repeat('v', 1500)::bytea, 0, now(), now() + (i % 2 * 2 - 1) * interval '1 hour'
    from generate_series(1, 3000) i`)
  await database.db.count(
    sql`insert into cache_entries values ('claimed', '', 0, '-infinity', '-infinity', now() + interval '1 minute')`,
  )
  const statements = await database.countStatements(async () => {
    assert.deepEqual(await sweepCache(database.db), { expired: 1500, emptied: false })
  })
  assert.ok(statements.filter(text => text.includes('delete')).length >= 2, `${statements.length}`)
  const left = async () => (await database.db.rows(sql`select 1 from cache_entries`)).length
  assert.equal(await left(), 1501)
  assert.deepEqual(await sweepCache(database.db, { maxBytes: 1_000_000 }), { expired: 0, emptied: true })
  assert.equal(await left(), 0)
  assert.equal(await a.get('n', 'k', { ttlMs: 1000, load: async () => 1 }), 1)
})

test('of several processes one sweeps at a time, again and again', async t => {
  const { database, processes } = await caches(t, 2, { beatMs: 1_000 })
  const sweepers = processes.map(({ db, leases }) =>
    createCacheSweeper({ db, leases, log: silentLog, everyMs: 30 }),
  )
  for (let round = 0; round < 3; round++) {
    await database.db.count(sql`insert into cache_entries (key, value, load_ms, soft_at, expires_at)
      select sha256(i::text::bytea), 'v', 0, now(), now() - interval '1 s' from generate_series(1, 100) i`)
    await eventually(async () => (await database.db.rows(sql`select 1 from cache_entries`)).length === 0)
  }
  await Promise.all(sweepers.map(sweeper => sweeper.close()))
})

test('writing the same keys again and again stays in their pages', async t => {
  const {
    database,
    caches: [a],
  } = await caches(t, 1)
  const use = { ttlMs: 60_000, memory: false, load: async () => 'x'.repeat(50) }
  const rounds = async (count: number) => {
    for (let round = 0; round < count; round++) {
      await Promise.all(Array.from({ length: 50 }, (_, i) => a.get('n', `${i}`, use)))
      await database.db.count(sql`update cache_entries set soft_at = now() - interval '1 s'`)
    }
  }
  const pages = async () => {
    const row = await database.db.first(sql<{ heap: string; index: string }>`
      select pg_relation_size('cache_entries') / 8192 as heap, pg_relation_size('cache_entries_pkey') / 8192 as index`)
    return { heap: Number(row?.heap), index: Number(row?.index) }
  }
  await rounds(2)
  // 6,000 row versions would fill 90 pages and 25 of the index if each found a place of its own. A transaction in another database can
  // keep old versions for as long as it takes, so it may need more than one attempt; a table that is not made for this never stays.
  const grown: string[] = []
  for (let attempt = 0; attempt < 30; attempt++) {
    const before = await pages()
    await rounds(40)
    const after = await pages()
    grown.push(JSON.stringify({ before, after }))
    if (after.heap <= before.heap + 10 && after.index <= before.index + 2) return
  }
  assert.fail(grown.join())
})
