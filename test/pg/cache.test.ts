import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { createCache } from '../../src/pg/cache.ts'
import { sql } from '../../src/pg/db.ts'
import { testDatabase } from '../postgres.ts'
import { caches } from './cache-processes.ts'
import { eventually } from './eventually.ts'
import { startProcess } from './process.ts'

function counted<T>(value: T, ms = 0) {
  const state = { loads: 0 }
  const load = async () => {
    state.loads++
    if (ms > 0) await new Promise(resolve => setTimeout(resolve, ms))
    return value
  }
  return { state, load }
}

test('a value is made once, read from the table once per process, and from memory after that', async t => {
  const {
    database,
    caches: [a, b],
  } = await caches(t, 2)
  const { state, load } = counted({ name: 'ä', list: [1, { deep: null }] })
  const use = { ttlMs: 60_000, load }
  const first = await a.get('brands', 'default', use)
  assert.deepEqual(first, { name: 'ä', list: [1, { deep: null }] })
  assert.deepEqual(await b.get('brands', 'default', use), first)
  assert.equal(state.loads, 1)
  const statements = await database.countStatements(async () => {
    for (let i = 0; i < 100; i++) assert.equal(await a.get('brands', 'default', use), first)
  })
  assert.deepEqual(statements, [])
  assert.deepEqual(b.figures.table, { hits: 1, misses: 0 })
  assert.throws(() => {
    ;(first as { name: string }).name = 'changed by one for all'
  }, TypeError)
})

test('a thousand at once in two processes make one value between them', async t => {
  const { caches: both } = await caches(t, 2, { waitMs: 60_000 })
  const { state, load } = counted('made', 100)
  const all = await Promise.all(
    Array.from({ length: 1000 }, (_, i) => both[i % 2]?.get('slow', 'one', { ttlMs: 60_000, load })),
  )
  assert.equal(state.loads, 1)
  assert.deepEqual(new Set(all), new Set(['made']))
})

test('who waits for a maker that is too slow makes the value as well', async t => {
  const {
    caches: [a, b],
  } = await caches(t, 2)
  const release = Promise.withResolvers<string>()
  const slow = a.get('slow', 'one', { ttlMs: 60_000, load: () => release.promise })
  await eventually(async () => a.figures.loads === 1)
  const began = performance.now()
  assert.equal(await b.get('slow', 'one', { ttlMs: 60_000, load: async () => 'mine' }), 'mine')
  const waited = performance.now() - began
  assert.ok(waited >= 200 && waited < 20_000, `${waited}`)
  release.resolve('late')
  assert.equal(await slow, 'late')
})

test('past its soft end one makes a value anew, the others use the old one meanwhile', async t => {
  const {
    database,
    caches: [a, b],
  } = await caches(t, 2)
  await a.get('n', 'k', { ttlMs: 60_000, load: async () => 'old', memory: false })
  await database.db.count(sql`update cache_entries set soft_at = now() - interval '1 s'`)
  const release = Promise.withResolvers<string>()
  const making = a.get('n', 'k', { ttlMs: 60_000, load: () => release.promise, memory: false })
  await eventually(() => a.figures.loads === 2)
  const other = counted('not asked')
  assert.equal(await b.get('n', 'k', { ttlMs: 60_000, load: other.load, memory: false }), 'old')
  assert.equal(other.state.loads, 0)
  release.resolve('new')
  assert.equal(await making, 'new')
  assert.equal(await b.get('n', 'k', { ttlMs: 60_000, load: other.load, memory: false }), 'new')
})

test('a value that cannot be made anew stays until its hard end; then the error is told, and never kept', async t => {
  const {
    database,
    caches: [a],
  } = await caches(t, 1)
  const fail = async () => {
    throw new Error('upstream away')
  }
  await a.get('n', 'k', { ttlMs: 60_000, load: async () => 'old', memory: false })
  await database.db.count(sql`update cache_entries set soft_at = now() - interval '1 s'`)
  assert.equal(await a.get('n', 'k', { ttlMs: 60_000, load: fail, memory: false }), 'old')
  await database.db.count(sql`update cache_entries set expires_at = now() - interval '1 s'`)
  await assert.rejects(a.get('n', 'k', { ttlMs: 60_000, load: fail, memory: false }), /upstream away/)
  assert.equal(await a.get('n', 'k', { ttlMs: 60_000, load: async () => 'back', memory: false }), 'back')
})

test('a value near its soft end is made anew early, by chance', async t => {
  let luck = 0
  const {
    caches: [a],
  } = await caches(t, 1, { random: () => luck })
  const { state, load } = counted('x', 20)
  const use = { ttlMs: 60_000, softMs: 30_000, load }
  await a.get('n', 'k', use)
  await a.get('n', 'k', use)
  assert.equal(state.loads, 1)
  luck = 1 // -ln(0): as early as can be
  await a.get('n', 'k', use)
  assert.equal(state.loads, 2)
})

test('what is asked for in one turn is read with one statement, and made with two more', async t => {
  const {
    database,
    caches: [a, b],
  } = await caches(t, 2)
  const keys = Array.from({ length: 60 }, (_, at) => `key ${at}`)
  const all = (cache: typeof a, load: (key: string) => Promise<string>) =>
    Promise.all(keys.map(key => cache.get('n', key, { ttlMs: 60_000, load: () => load(key) })))
  for (const cache of [a, b]) await cache.get('n', 'another', { ttlMs: 60_000, load: async () => '' })
  const made = await database.countStatements(async () => {
    assert.deepEqual(
      await all(a, async key => `of ${key}`),
      keys.map(key => `of ${key}`),
    )
  })
  assert.ok(made.length <= 4, `${made.length} statements: a read, a claim, a write or two`)
  const read = await database.countStatements(async () => {
    assert.deepEqual(
      await all(b, async () => 'not asked'),
      keys.map(key => `of ${key}`),
    )
  })
  assert.equal(read.length, 1)
  assert.equal(b.figures.loads, 0)
})

test('two processes that write the same keys in another order do not wait for each other in a circle', async t => {
  const {
    database,
    caches: [a, b],
  } = await caches(t, 2)
  const keys = Array.from({ length: 100 }, (_, at) => `key ${at}`)
  const use = { ttlMs: 60_000, memory: false, load: async () => 'made' }
  for (let round = 0; round < 10; round++) {
    await Promise.all([
      ...keys.map(key => a.get('n', key, use)),
      ...keys.toReversed().map(key => b.get('n', key, use)),
    ])
    await database.db.count(sql`update cache_entries set soft_at = now() - interval '1 s'`)
  }
  assert.deepEqual([a.figures.errors, b.figures.errors], [0, 0])
})

test('an invalidated namespace is forgotten everywhere at once, others stay', async t => {
  const {
    caches: [a, b],
    processes,
  } = await caches(t, 2)
  let version = 1
  const use = { ttlMs: 60_000, load: async () => version }
  for (const cache of [a, b]) {
    await cache.get('flows', 'x', use)
    await cache.get('brands', 'x', use)
  }
  version = 2
  const times: number[] = []
  for (; version < 12; version++) {
    const began = performance.now()
    await a.invalidate('flows')
    assert.equal(await a.get('flows', 'x', use), version)
    await eventually(async () => (await b.get('flows', 'x', use)) === version)
    times.push(performance.now() - began)
  }
  assert.ok(Math.min(...times) < 100, `${times}`)
  assert.equal(await b.get('brands', 'x', use), 1)
  assert.equal(processes.length, 2)
})

test('inside a transaction a namespace is forgotten when it commits, and not when it is rolled back', async t => {
  const {
    caches: [a],
    processes: [p],
  } = await caches(t, 1)
  let version = 1
  const use = { ttlMs: 60_000, load: async () => version }
  await a.get('flows', 'x', use)
  version = 2
  await assert.rejects(
    p!.db.transaction(async tx => {
      await a.invalidate('flows', tx)
      throw new Error('no')
    }),
  )
  assert.equal(await a.get('flows', 'x', use), 1)
  await p!.db.transaction(async tx => {
    await a.invalidate('flows', tx)
    assert.equal(await a.get('flows', 'x', use), 1)
  })
  assert.equal(await a.get('flows', 'x', use), 2)
})

test('a lost message is made up for when the bus compares with the tables', async t => {
  const database = await testDatabase(t)
  const p = await startProcess(database.target, 'p', { intervalMs: 10_000, resyncMs: 100 })
  const cache = createCache({ db: p.db, bus: p.bus, log: silentLog, random: () => 0 })
  t.after(async () => {
    cache.close()
    await p.close()
  })
  let version = 1
  const use = { ttlMs: 60_000, load: async () => version }
  await cache.get('flows', 'x', use)
  version = 2
  await database.db.count(sql`insert into cache_generations values ('flows', 5)`)
  await eventually(async () => (await cache.get('flows', 'x', use)) === 2)
})

test('without the table, or with rubbish in it, every value is simply made; errors are counted', async t => {
  const {
    database,
    caches: [a],
  } = await caches(t, 1)
  const { state, load } = counted('made')
  const use = { ttlMs: 60_000, load, memory: false }
  await a.get('n', 'k', use)
  await database.db.count(sql`update cache_entries set value = '\\xff'`)
  assert.equal(await a.get('n', 'k', use), 'made')
  await database.db.rows(sql`drop table cache_entries`)
  assert.equal(await a.get('n', 'k', use), 'made')
  await database.db.rows(sql`drop table cache_generations`)
  assert.equal(await a.get('other', 'k', use), 'made')
  assert.equal(state.loads, 4)
  assert.ok(a.figures.errors >= 3)
})

test('add puts a value only where no live one is, and never brings an expired one back', async t => {
  const {
    database,
    caches: [a, b],
  } = await caches(t, 2)
  const won = await Promise.all(
    Array.from({ length: 20 }, (_, i) => (i % 2 ? a : b).add('once', 'k', i, 60_000)),
  )
  assert.equal(won.filter(Boolean).length, 1)
  await database.db.count(sql`update cache_entries set expires_at = now() - interval '1 s'`)
  assert.equal(await a.add('once', 'k', 'new', 60_000), true)
  assert.equal(await b.get('once', 'k', { ttlMs: 1000, load: async () => 'no' }), 'new')
  await assert.rejects(a.add('once', 'big', randomText(400_000), 1000), RangeError)
})

test('a value too large to keep is still given, and long ones are compressed', async t => {
  const {
    database,
    caches: [a, b],
  } = await caches(t, 2)
  const big = randomText(400_000)
  assert.equal(await a.get('n', 'big', { ttlMs: 60_000, load: async () => big }), big)
  assert.equal(a.figures.skipped, 1)
  const even = 'x'.repeat(400_000)
  await a.get('n', 'even', { ttlMs: 60_000, load: async () => even })
  assert.equal(await b.get('n', 'even', { ttlMs: 60_000, load: async () => 'no' }), even)
  const row = await database.db.first(sql<{ n: number }>`select max(length(value)) as n from cache_entries`)
  assert.ok(row !== undefined && row.n < 20_000, `${row?.n}`)
})

function randomText(length: number): string {
  return Array.from({ length }, () => Math.random().toString(36)[2] ?? '0').join('')
}
