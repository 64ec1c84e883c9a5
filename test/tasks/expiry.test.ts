// Nothing grows for ever: what has an end is deleted by somebody.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cleanUpActors } from '../../src/core/tasks/clean-up.ts'
import { silentLog } from '../../src/log.ts'
import { sweepCache } from '../../src/pg/cache-sweep.ts'
import { sql } from '../../src/pg/db.ts'
import type { RunContext } from '../../src/pg/tasks/actor.ts'
import { testDatabase } from '../postgres.ts'

const context: RunContext<unknown> = {
  payload: {},
  id: '',
  attempt: 1,
  log: silentLog,
  signal: new AbortController().signal,
  progress: () => {},
  enqueue: () => Promise.reject(new Error('a sweep asks for nothing')),
}

/** Tables whose ended rows stay, with the reason. */
const stay: Record<string, string> = {
  leases: 'one row per name, which the next holder takes over',
  policy_bindings: "an administrator's rule; once it has ended it is shown as such and applies no more",
}

test('every table with an expiry is swept by an actor, or has a reason to keep its rows', async t => {
  const database = await testDatabase(t)
  const { db } = database
  const columns = await db.rows(
    sql<{ table: string }>`
    select table_name as table from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
    where table_schema = 'public' and column_name = 'expires_at' and table_type = 'BASE TABLE' order by 1`,
  )
  assert.ok(columns.length >= 12, 'the catalogue was read')
  await db.rows(sql`
    insert into cache_entries (key, value, load_ms, soft_at, expires_at)
    values ('\\x01', '\\x01', 1, now() - interval '1 s', now() - interval '1 s')`)
  const statements = await database.countStatements(async () => {
    for (const actor of cleanUpActors({ db })) await actor.run(context)
    await sweepCache(db)
  })
  const swept = new Set(
    statements.flatMap(text =>
      [...text.matchAll(/delete\s+from\s+"public"\."(\w+)"/gi)].map(match => match[1]),
    ),
  )
  const unswept = columns.map(({ table }) => table).filter(table => !swept.has(table) && !(table in stay))
  assert.deepEqual(unswept, [], 'these tables are swept by nobody: add them to housekeeping.sql.ts')
  const gone = Object.keys(stay).filter(table => !columns.some(column => column.table === table))
  assert.deepEqual(gone, [], 'these tables have no expiry any more')
})

test('an ended row of every swept table is deleted, a live one stays', async t => {
  const database = await testDatabase(t)
  const { db } = database
  await db.rows(
    sql`insert into users (uuid, uid, username, name) values (gen_random_uuid(), 'u', 'jane', 'Jane')`,
  )
  await db.rows(sql`
    insert into sessions (id, key_hash, expires_at)
    values (gen_random_uuid(), '\\x01', now() - interval '1 s'), (gen_random_uuid(), '\\x02', now() + interval '1 hour')`)
  await db.rows(sql`
    insert into events (action, app, expires_at)
    values ('login', 'x', now() - interval '1 s'), ('logout', 'x', now() + interval '1 day')`)
  await db.rows(sql`
    insert into proxy_sessions (key_hash, client_id, user_hash, sealed, created_at, expires_at)
    values ('\\x01', 'c', '\\x01', '\\x01', now(), now() - interval '1 s'), ('\\x02', 'c', '\\x01', '\\x01', now(), now() + interval '1 h')`)
  await db.rows(sql`
    insert into tokens (identifier, key_hash, intent, user_id, expires_at)
    select i, decode(md5(i), 'hex'), 'api', u.id, e from users u, (values ('old', now() - interval '1 s'), ('new', now() + interval '1 h'),
      ('always', null)) v (i, e)`)
  await db.rows(sql`
    insert into revocations (session_id, created_at) values ('a', now() - interval '25 hours'), ('b', now())`)
  for (const actor of cleanUpActors({ db })) await actor.run(context)
  const left: Record<string, number> = {}
  for (const table of ['sessions', 'events', 'proxy_sessions', 'tokens', 'revocations'])
    left[table] = (await db.rows(sql`select 1 from ${sql.id(table)}`)).length
  assert.deepEqual(left, { sessions: 1, events: 1, proxy_sessions: 1, tokens: 2, revocations: 1 })
})
