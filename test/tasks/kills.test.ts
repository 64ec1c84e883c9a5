// Workers die again and again while they work; the rows tell whether a task was lost, or was run by two at a time.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import Type from 'typebox'
import { sql } from '../../src/pg/db.ts'
import { defineActor } from '../../src/pg/tasks/actor.ts'
import { eventually } from '../pg/eventually.ts'
import { testDatabase } from '../postgres.ts'
import { start } from './engine.ts'

/** POSTERN_TEST_KILLS=1000 takes some hours. */
const kills = Number(process.env.POSTERN_TEST_KILLS ?? 5)
const tasksPerKill = 40
const workers = 2
/** Known to the sender, run by the processes. */
const hold = defineActor({
  ...{ name: 'hold', description: 'Holds.', payload: Type.Object({ text: Type.String() }) },
  run: async () => {},
})

test('workers killed again and again lose no task, and no task runs in two of them at a time', {
  timeout: 240_000 + kills * 20_000,
}, async t => {
  const database = await testDatabase(t)
  const { db } = database
  await db.rows(
    sql`create table marks (id int generated always as identity, worker text, what text, at timestamptz default clock_timestamp())`,
  )
  const sender = await start(t, [hold], { database, role: 'enqueue' })
  const alive = new Map<string, ChildProcess>()
  t.after(async () => {
    for (const child of alive.values()) await end(child)
  })
  let made = 0
  const spawnWorker = async () => {
    const name = `w${made++}`
    const file = join(import.meta.dirname, 'worker-process.ts')
    const child = spawn(process.execPath, [file, JSON.stringify({ target: database.target(), name })], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    alive.set(name, child)
    await once(child.stdout, 'data')
  }
  while (alive.size < workers) await spawnWorker()
  const marks = async () => (await db.first(sql<{ n: number }>`select count(*)::int as n from marks`))?.n ?? 0
  let sent = 0
  for (let kill = 0; kill < kills; kill++) {
    const before = await marks()
    for (let at = 0; at < tasksPerKill; at++)
      await sender.tasks.enqueue(sender.db, 'hold', { text: String(sent++) })
    await eventually(async () => (await marks()) > before)
    await sleep(Math.random() * 30)
    const [name, child] = [...alive][kill % workers] as [string, ChildProcess]
    alive.delete(name)
    await end(child)
    await db.rows(sql`insert into marks (worker, what) values (${name}, 'killed')`)
    await spawnWorker()
  }
  const ended = async () =>
    (
      await db.first(sql<{ n: number }>`
      select count(distinct task_id)::int as n from task_runs where actor = 'hold' and final and state = 'done'`)
    )?.n ?? 0
  await eventually(async () => (await ended()) === sent, 200_000)
  const rows = await db.rows(
    sql<{ worker: string; what: string }>`select worker, what from marks order by id`,
  )
  const killed = rows.filter(({ what }) => what === 'killed').length
  assert.equal(killed, kills)
  assert.deepEqual(overlaps(rows), [])
  const more = await db.rows(sql`
    select task_id from task_runs where actor = 'hold' and final group by task_id having count(*) > 1`)
  assert.deepEqual(more, [])
})

/** Tasks that began in one worker while another that was alive had begun them and not ended. */
function overlaps(rows: { worker: string; what: string }[]): string[] {
  const running = new Map<string, string>()
  const dead = new Set<string>()
  const wrong: string[] = []
  for (const { worker, what } of rows) {
    const [verb, task = ''] = what.split(' ')
    if (verb === 'begin') {
      const other = running.get(task)
      if (other !== undefined && !dead.has(other))
        wrong.push(`${task} began in ${worker} while ${other} had it`)
      running.set(task, worker)
    } else if (verb === 'end') running.delete(task)
    else dead.add(worker) // what it had sent may be written after that
  }
  return wrong
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}
