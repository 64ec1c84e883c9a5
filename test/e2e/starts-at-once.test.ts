// Eight servers that a cluster starts in the same moment, on a database in which there is nothing yet.
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { checkout } from '../checkout.ts'
import { eventually } from '../pg/eventually.ts'
import { testDatabase } from '../postgres.ts'
import { describeSite, startService } from './production.ts'

const replicas = 8

test('eight servers started at once on an empty database all become ready, and each migration is applied once', {
  timeout: 280_000,
}, async t => {
  const database = await testDatabase(t, { migrated: false })
  const site = await describeSite(database.target())
  const began = performance.now()
  const servers = await Promise.all(
    Array.from({ length: replicas }, () => startService(t, 'server', site.env)),
  )
  t.diagnostic(`all ready after ${Math.round(performance.now() - began)} ms`)
  for (const { metricsUrl } of servers)
    assert.equal((await fetch(`${metricsUrl}/-/health/ready/`)).status, 200)
  const files = (await readdir(join(checkout, 'migrations'))).filter(name => /^\d{4}_/.test(name))
  const applied = await database.db.rows<{ id: number }>(sql`select id from migrations order by id`)
  assert.deepEqual(
    applied.map(({ id }) => id),
    files.map((_, at) => at + 1),
  )
  const told = servers.flatMap(({ program }) => [
    ...program.output().matchAll(/"event":"applying migration"/g),
  ])
  assert.equal(told.length, files.length)
  const installations = await database.db.rows(sql`select 1 from installation`)
  assert.equal(installations.length, 1)
  // A lock of a session would stay; those of transactions come and go.
  await eventually(async () => (await database.db.rows(advisoryLocks)).length === 0)
})

const advisoryLocks = sql`
  select 1 from pg_locks where locktype = 'advisory'
    and database = (select oid from pg_database where datname = current_database())`
