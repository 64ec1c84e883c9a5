import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gather } from './batch.ts'
import { currentLane, inLane } from './lane.ts'

test('calls of one turn share a list, those of the next have another, and each gets its own answer', async () => {
  const lists: number[][] = []
  const double = gather({
    ...{ most: 3, atOnce: 2 },
    run: async (items: number[]) => {
      lists.push(items)
      return items.map(item => item * 2)
    },
  })
  assert.deepEqual(await Promise.all([1, 2, 3, 4].map(double)), [2, 4, 6, 8])
  assert.equal(await double(5), 10)
  assert.deepEqual(lists, [[1, 2, 3], [4], [5]])
})

test('while as many lists as allowed are under way, the rest waits and then goes together', async () => {
  const lists: { items: string[]; done: () => void }[] = []
  const ask = gather({
    ...{ most: 10, atOnce: 1 },
    run: (items: string[]) =>
      new Promise<string[]>(resolve => lists.push({ items, done: () => resolve(items) })),
  })
  const first = ask('a')
  await new Promise(resolve => setImmediate(resolve))
  const rest = Promise.all(['b', 'c'].map(ask))
  await new Promise(resolve => setImmediate(resolve))
  assert.deepEqual(
    lists.map(({ items }) => items),
    [['a']],
  )
  lists[0]?.done()
  assert.equal(await first, 'a')
  await new Promise(resolve => setImmediate(resolve))
  assert.deepEqual(lists[1]?.items, ['b', 'c'])
  lists[1]?.done()
  assert.deepEqual(await rest, ['b', 'c'])
})

test('an error goes to everybody of its list, and the next list is asked as before', async () => {
  let fail = true
  const ask = gather({
    ...{ most: 10, atOnce: 1 },
    run: async (items: number[]) => {
      if (fail) throw new Error('away')
      return items
    },
  })
  const settled = await Promise.allSettled([ask(1), ask(2)])
  assert.deepEqual(
    settled.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  fail = false
  assert.equal(await ask(3), 3)
})

test('callers of two lanes are not gathered with each other, and each list runs in its own lane', async () => {
  const lists: string[] = []
  const ask = gather({
    ...{ most: 1, atOnce: 1 },
    run: async (items: number[]) => {
      lists.push(`${currentLane()} ${items.join()}`)
      return items
    },
  })
  await Promise.all([ask(1), inLane('login', () => ask(2)), ask(3), inLane('login', () => ask(4))])
  assert.deepEqual(lists.toSorted(), ['general 1', 'general 3', 'login 2', 'login 4'])
})
