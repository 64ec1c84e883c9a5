import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from '../../src/pg/db.ts'
import { testDatabase } from '../postgres.ts'
import { eventually } from './eventually.ts'

/** Writes under the lease; POSTERN_TEST_LOCK_ROUNDS=100000 takes a quarter of an hour. */
const wanted = Number(process.env.POSTERN_TEST_LOCK_ROUNDS ?? 2000)

test('processes stopped in mid-work and woken again never write with a fence that has passed', async t => {
  const { target, db } = await testDatabase(t)
  await db.rows(
    sql`create table work (seq bigint generated always as identity, fence bigint not null, holder text not null)`,
  )
  const beatMs = 100
  const children = await Promise.all(
    ['a', 'b', 'c'].map(name => startWorker({ target: target(), name, ttlMs: 400, beatMs })),
  )
  t.after(async () => {
    for (const child of children) {
      child.kill('SIGCONT')
      child.kill('SIGTERM')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    }
  })
  const fences = async () =>
    Number((await db.first(sql<{ n: string }>`select count(distinct fence) as n from work`))?.n ?? 0)
  await eventually(async () => (await fences()) > 3, 20_000)
  for (let round = 0; round < 8; round++) {
    const holder = await db.first(sql<{ holder: string }>`select holder from work order by seq desc limit 1`)
    const child = children['abc'.indexOf(holder?.holder ?? 'a')]
    child?.kill('SIGSTOP')
    const before = await fences()
    // Others take over although the holder has said nothing.
    await eventually(async () => (await fences()) > before + 1)
    child?.kill('SIGCONT')
  }
  // And any of them at any moment, holder or not, for shorter and longer than a lease lasts.
  const writes = async () => (await db.first(sql<{ n: number }>`select count(*)::int as n from work`))?.n ?? 0
  await eventually(
    async () => {
      const child = children[Math.floor(Math.random() * children.length)]
      child?.kill('SIGSTOP')
      await sleep(Math.random() * 700)
      child?.kill('SIGCONT')
      await sleep(Math.random() * 200)
      return (await writes()) >= wanted
    },
    60_000 + wanted * 30,
  )
  t.diagnostic(`${await writes()} writes under ${await fences()} fences`)
  const wrong = await db.rows(sql`
    select * from (select seq, fence, lag(fence) over (order by seq) as before from work) w where fence < before`)
  assert.deepEqual(wrong, [])
  const holders = await db.rows(sql`select fence from work group by fence having count(distinct holder) > 1`)
  assert.deepEqual(holders, [])
})

async function startWorker(options: object): Promise<ChildProcess> {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'lease-process.ts'), JSON.stringify(options)],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  )
  await once(child, 'spawn')
  return child
}
