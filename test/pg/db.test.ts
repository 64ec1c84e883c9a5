import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { constraintOf, isUniqueViolation, PgError } from '../../src/pg/errors.ts'
import { testDatabase } from '../postgres.ts'

test('names are qualified and quoted, values are parameters', async t => {
  const { db, countStatements } = await testDatabase(t)
  const texts = await countStatements(() =>
    db.rows(sql`select key from ${db.t('leases')} where key = ${"x'y"}`),
  )
  assert.deepEqual(texts, ['select key from "public"."leases" where key = $1'])
})

test('count gives the rows a write touched, first the first row or undefined', async t => {
  const { db } = await testDatabase(t)
  await db.count(sql`create table public.things (id int primary key)`)
  assert.equal(await db.count(sql`insert into ${db.t('things')} values (1), (2), (3)`), 3)
  assert.equal(await db.count(sql`delete from ${db.t('things')} where id > 1`), 2)
  assert.deepEqual(await db.first(sql`select id from ${db.t('things')}`), { id: 1 })
  assert.equal(await db.first(sql`select id from ${db.t('things')} where id = 9`), undefined)
})

test('a transaction commits as a whole, and what was handed to afterCommit runs then, in order, errors and all', async t => {
  const { db } = await testDatabase(t)
  await db.count(sql`create table public.things (id int primary key)`)
  const seen: string[] = []
  const result = await db.transaction(async tx => {
    tx.afterCommit(async () => {
      seen.push(`first sees ${(await db.rows(sql`select 1 from ${db.t('things')}`)).length}`)
    })
    tx.afterCommit(() => {
      throw new Error('of no interest to the caller')
    })
    tx.afterCommit(() => {
      seen.push('third')
    })
    await Promise.all([1, 2, 3].map(id => tx.count(sql`insert into ${tx.t('things')} values (${id})`)))
    seen.push('inside')
    return 'done'
  })
  assert.equal(result, 'done')
  assert.deepEqual(seen, ['inside', 'first sees 3', 'third'])
})

test('a throw rolls back, is rethrown as it was, and nothing runs after commit', async t => {
  const { db } = await testDatabase(t)
  await db.count(sql`create table public.things (id int constraint only_once primary key)`)
  let ran = false
  const failing = db.transaction(async tx => {
    tx.afterCommit(() => {
      ran = true
    })
    await tx.count(sql`insert into ${tx.t('things')} values (1)`)
    await tx.count(sql`insert into ${tx.t('things')} values (1)`)
  })
  const error = await failing.then(
    () => assert.fail('must reject'),
    cause => cause,
  )
  assert.equal(isUniqueViolation(error, 'only_once'), true)
  assert.equal(isUniqueViolation(error, 'another'), false)
  assert.equal(constraintOf(new Error('outer', { cause: error })), 'only_once')
  assert.equal(ran, false)
  assert.deepEqual(await db.rows(sql`select * from ${db.t('things')}`), [])
})

test('a transaction whose failed statement was swallowed is reported as rolled back, not as committed', async t => {
  const { db } = await testDatabase(t)
  const swallowing = db.transaction(async tx => {
    await tx.count(sql`select 1 / 0`).catch(() => {})
  })
  await assert.rejects(
    swallowing,
    (error: unknown) => error instanceof PgError && error.code === 'transaction_aborted',
  )
})

test('time-outs are set inside transactions only, in the round trip of BEGIN, and leave no trace on the connection', async t => {
  const { db } = await testDatabase(t)
  const read = sql<{ s: string; l: string; i: string }>`select current_setting('statement_timeout') as s,
    current_setting('lock_timeout') as l, current_setting('idle_in_transaction_session_timeout') as i`
  assert.deepEqual(await db.transaction(tx => tx.first(read)), { s: '15s', l: '5s', i: '30s' })
  assert.deepEqual(await db.first(read), { s: '0', l: '0', i: '0' })
})

test('the query builder runs on the same transaction, and offers no transaction of its own', async t => {
  const { db } = await testDatabase(t)
  await db.count(sql`create table public.things (id int primary key)`)
  await assert.rejects(
    db.transaction(async tx => {
      await sql`insert into public.things values (7)`.execute(tx.kysely)
      assert.equal((await tx.rows(sql`select 1 from public.things`)).length, 1)
      throw new Error('undo')
    }),
    /undo/,
  )
  assert.deepEqual(await db.rows(sql`select * from public.things`), [])
  await assert.rejects(
    db.kysely.transaction().execute(async () => {}),
    /db\.transaction/,
  )
})

test('bigints keep every digit', async t => {
  const { db } = await testDatabase(t)
  const row = await db.first(sql<{ n: string }>`select ${'9007199254740993'}::int8 as n`)
  assert.equal(row?.n, '9007199254740993')
})

test('statements are unnamed, so that a transaction pooler may stand in front', async t => {
  const { db } = await testDatabase(t)
  await db.rows(sql`select ${1}::int`)
  assert.deepEqual(await db.rows(sql`select name from pg_prepared_statements`), [])
})

test('ping rejects when the database is gone', async t => {
  const { db, pool } = await testDatabase(t)
  await db.ping(2000)
  await pool.close()
  await assert.rejects(
    db.ping(500),
    (error: unknown) => error instanceof PgError && error.code === 'pool_closed',
  )
})
