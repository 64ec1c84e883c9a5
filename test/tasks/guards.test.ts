// What keeps a flood from filling the database, and a worker from being killed for its memory.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { recordFullQueue } from '../../src/core/tasks/queue-full.ts'
import { silentLog } from '../../src/log.ts'
import { sql } from '../../src/pg/db.ts'
import { QueueFullError } from '../../src/pg/tasks/depth-guard.ts'
import { createMemoryGuard, groupLimit } from '../../src/pg/tasks/memory-guard.ts'
import { eventually } from '../pg/eventually.ts'
import { testDatabase } from '../postgres.ts'
import { noting, start } from './engine.ts'

test('above the limit tasks are refused with the name of the setting, and with them the change that asked', async t => {
  const { actor } = noting()
  const { actor: vital } = noting('vital', { critical: true })
  const told: string[] = []
  const { tasks, db } = await start(t, [actor, vital], {
    role: 'enqueue',
    maxQueued: 50,
    onFull: async (queue, most) => void told.push(`${queue} ${most}`),
  })
  const later = { delayMs: 600_000 }
  for (let n = 0; n < 50; n++) await tasks.enqueue(db, 'note', { text: String(n) }, later)
  await db.rows(sql`create table changes (n int)`)
  await assert.rejects(
    db.transaction(async tx => {
      await tx.rows(sql`insert into changes values (1)`)
      await tasks.enqueue(tx, 'note', { text: 'one too many' }, later)
    }),
    (error: unknown) =>
      error instanceof QueueFullError &&
      /"default" is full: more than 50 tasks wait \(POSTERN_TASKS_MAX_QUEUED\)/.test(error.message),
  )
  assert.deepEqual(await db.rows(sql`select * from changes`), [])
  await assert.rejects(tasks.enqueue(db, 'note', { text: 'another' }, later), QueueFullError)
  assert.deepEqual(told, ['default 50'])
  // What is critical is taken, and what finds one that waits adds nothing.
  await tasks.enqueue(db, 'vital', { text: 'x' }, later)
  await tasks.enqueue(db, 'note', { text: 'x' }, { ...later, critical: true, dedupe: 'x' })
  const twin = await tasks.enqueue(db, 'note', { text: 'y' }, { ...later, dedupe: 'x' })
  assert.equal(twin.deduplicated, true)
  const count = await db.first(sql<{ n: number }>`select count(*)::int as n from pgboss.job`)
  assert.equal(count?.n, 52)
  // Once there is room again they are taken again.
  await db.rows(sql`delete from pgboss.job`)
  await eventually(() =>
    tasks.enqueue(db, 'note', { text: 'room' }, later).then(
      () => true,
      () => false,
    ),
  )
})

test('a full queue is an event, once a minute however many processes say it', async t => {
  const { db } = await testDatabase(t)
  await Promise.all([1, 2, 3].map(() => recordFullQueue(db, 'default', 50)))
  const events = () =>
    db.rows(
      sql<{ action: string; message: string }>`
        select action, context ->> 'message' as message from events where app = 'authentik.tasks'`,
    )
  assert.deepEqual(await events(), [
    {
      action: 'system_exception',
      message: 'More than 50 tasks wait in the queue "default": changes that ask for another are refused.',
    },
  ])
  await recordFullQueue(db, 'slow', 50)
  await db.rows(sql`update events set created_at = created_at - interval '2 minutes'`)
  await recordFullQueue(db, 'default', 50)
  assert.equal((await events()).length, 3)
})

test('the limit counts what other processes have filed', async t => {
  const { actor } = noting()
  const first = await start(t, [actor], { role: 'enqueue', maxQueued: 10 })
  const later = { delayMs: 600_000 }
  for (let n = 0; n < 10; n++) await first.tasks.enqueue(first.db, 'note', { text: 'x' }, later)
  const second = await start(t, [actor], { database: first.database, role: 'enqueue', maxQueued: 10 })
  await assert.rejects(second.tasks.enqueue(second.db, 'note', { text: 'x' }, later), QueueFullError)
})

test('memory counts as short above four fifths of the limit, and is looked at now and then only', () => {
  let used = 0
  let looks = 0
  let now = 0
  const guard = createMemoryGuard({
    log: silentLog,
    limitBytes: 1000,
    now: () => now,
    usedBytes: () => {
      looks++
      return used
    },
  })
  const at = (ms: number, bytes: number) => {
    now = ms
    used = bytes
    return guard.isTight()
  }
  assert.equal(at(0, 800), false)
  assert.equal(at(1000, 801), true)
  assert.equal(at(1100, 100), true)
  assert.equal(at(1300, 100), false)
  assert.equal(looks, 3)
})

test('the limit is that of the control group, whichever version it is', () => {
  const files = (found: Record<string, string>) => (name: string) => {
    const text = found[name]
    if (text === undefined) throw Object.assign(new Error(`ENOENT: ${name}`), { code: 'ENOENT' })
    return text
  }
  assert.equal(groupLimit(files({ '/sys/fs/cgroup/memory.max': '536870912\n' })), 536_870_912)
  assert.equal(groupLimit(files({ '/sys/fs/cgroup/memory.max': 'max\n' })), Number.POSITIVE_INFINITY)
  const first = '/sys/fs/cgroup/memory/memory.limit_in_bytes'
  assert.equal(groupLimit(files({ [first]: '268435456\n' })), 268_435_456)
  assert.equal(groupLimit(files({ [first]: '9223372036854771712\n' })), Number.POSITIVE_INFINITY)
  assert.equal(groupLimit(files({})), Number.POSITIVE_INFINITY)
})

test('a worker short of memory takes nothing on, another does, and it goes on once it has memory again', async t => {
  let tight = true
  const { actor, seen } = noting()
  const { tasks, db, database } = await start(t, [actor], {
    pollMs: 50,
    memory: { isTight: () => tight },
  })
  await tasks.enqueue(db, 'note', { text: 'first' })
  const other = noting()
  const second = await start(t, [other.actor], { database, name: 'second' })
  await eventually(() => other.seen.length === 1)
  await second.close()
  await tasks.enqueue(db, 'note', { text: 'second' })
  assert.deepEqual(seen, [])
  tight = false
  await eventually(() => seen.length === 1)
})
