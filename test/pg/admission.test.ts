import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { admit } from '../../src/pg/admission.ts'
import { sql } from '../../src/pg/db.ts'
import { createPool } from '../../src/pg/pool.ts'
import { testDatabase } from '../postgres.ts'
import { eventually } from './eventually.ts'
import { startProcess } from './process.ts'

test('the share of a process follows how many others are alive, with one statement at start and none later', async t => {
  const { target, db, countStatements } = await testDatabase(t)
  const options = { target: target(), schema: 'public', role: 'server' as const, log: silentLog }
  const statements = await countStatements(async () => {
    assert.deepEqual((await admit(options)).budget().processes, 1)
  })
  assert.equal(statements.length, 1)

  // 17 others on 200 connections: (197 × 0.8) / 18 - 1 = 7
  const a = await startProcess(target, 'a')
  t.after(() => a.close())
  const admission = await admit(options)
  const pool = createPool({ target, max: admission.budget().pool, applicationName: 'shared', log: silentLog })
  t.after(() => pool.close())
  admission.follow(a.beat, pool)
  assert.equal(pool.max(), 10)
  await db.count(sql`insert into nodes (id, name, kind, version)
    select gen_random_uuid(), 'other ' || i, 'server', '0' from generate_series(1, 17) i`)
  await eventually(() => pool.max() === 7)
  assert.match(admission.budget().text, /shared by 18 processes/)
  await db.count(sql`delete from nodes where name like 'other %'`)
  await eventually(() => pool.max() === 10)
})
