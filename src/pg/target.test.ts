import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeTarget, staysOnMachine } from './target.ts'

test('a target is described without its password', () => {
  const hosts = [
    { host: 'db.example', port: 5432 },
    { host: '::1', port: 1 },
    { host: '/run/pg', port: 2 },
  ]
  const target = {
    hosts,
    user: 'u',
    password: 'hidden',
    database: 'd',
    sslmode: 'require',
    connectTimeoutMs: 1,
  } as const
  assert.equal(
    describeTarget({ ...target }),
    'u@db.example:5432,[::1]:1,/run/pg/.s.PGSQL.2/d (sslmode=require)',
  )
})

test('only sockets and loopback addresses stay on the machine', () => {
  for (const host of ['/run/pg', 'localhost', '127.0.0.1', '127.9.9.9', '::1'])
    assert.equal(staysOnMachine(host), true)
  for (const host of ['127.0.0.1.example', '10.0.0.1', 'db', '0.0.0.0', ''])
    assert.equal(staysOnMachine(host), false)
})
