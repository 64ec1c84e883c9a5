// Groups of values are named by their namespace's generation, so that nobody ever has to look for keys.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sweepCache } from '../../src/pg/cache-sweep.ts'
import { caches } from './cache-processes.ts'

const values = 2000

test('forgetting a namespace of thousands of values is one statement, and none looks through keys', async t => {
  const {
    database,
    caches: [cache],
  } = await caches(t, 1)
  const use = { ttlMs: 60_000, load: async () => 'value' }
  const getAll = (namespace: string) =>
    Promise.all(Array.from({ length: values }, (_, at) => cache.get(namespace, `${at}`, use)))
  const all = await database.countStatements(async () => {
    await getAll('some')
    await cache.add('others', 'key', 'value', 60_000)
    await sweepCache(database.db)
  })
  const invalidating = await database.countStatements(() => cache.invalidate('some'))
  assert.equal(invalidating.filter(text => !/pg_notify/.test(text)).length, 1, invalidating.join('\n'))
  assert.doesNotMatch(invalidating.join('\n'), /cache_entries/)
  assert.ok(all.length > 5)
  for (const text of [...all, ...invalidating]) assert.doesNotMatch(text, /\blike\b|similar to|~|regexp/i)
  let made = 0
  await cache.get('some', '1', { ...use, load: async () => ++made })
  assert.equal(made, 1)
})
