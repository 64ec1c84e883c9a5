import assert from 'node:assert/strict'
import { test } from 'node:test'
import { budgetOf, type PoolRole, reservedForLogin } from './budget.ts'

const pool = (max: number, role: PoolRole, processes: number) =>
  budgetOf({ maxConnections: max, reserved: 3 }, role, processes).pool

test('on a usual server a few processes get what their role likes', () => {
  assert.deepEqual([pool(100, 'server', 1), pool(100, 'server', 4), pool(100, 'worker', 4)], [10, 10, 6])
  assert.equal(pool(100, 'start', 1), 10)
})

test('with max_connections 20 server, worker and one outpost use exactly the 17 slots there are', () => {
  const server = budgetOf({ maxConnections: 20, reserved: 3 }, 'server', 2)
  const worker = budgetOf({ maxConnections: 20, reserved: 3 }, 'worker', 2)
  assert.deepEqual([server.pool, worker.pool, server.usable, server.shrunk], [6, 4, 17, false])
  assert.equal(server.pool + 1 + worker.pool + 1 + 5, 17)
})

test('many processes share: together they never plan more than the server has, less a fifth', () => {
  for (let processes = 1; processes <= 25; processes++) {
    const { pool: each, shrunk } = budgetOf({ maxConnections: 100, reserved: 3 }, 'server', processes)
    assert.ok(each >= 2)
    if (each > 2) assert.ok(processes * (each + 1) <= 78, `${processes} processes with ${each}`)
    assert.equal(shrunk, each < 10)
  }
})

test('reserved slots of newer servers count, and the sum is shown', () => {
  const budget = budgetOf({ maxConnections: 60, reserved: 13 }, 'server', 4)
  assert.equal(budget.pool, 8)
  assert.match(
    budget.text,
    /max_connections 60 - reserved 13 = 47, less 20 % reserve = 37; shared by 4 .* pool 8/,
  )
})

test('sign-in keeps 2 of 10 connections, 1 of 6, and none where there are hardly any', () => {
  assert.deepEqual([10, 8, 6, 4, 3, 2].map(reservedForLogin), [2, 2, 1, 1, 0, 0])
})
