// A worker in a process of its own, to be killed or stopped by a test. Its actors write what they do into the table `marks`.
import { setTimeout as sleep } from 'node:timers/promises'
import Type from 'typebox'
import { sql } from '../../src/pg/db.ts'
import { defineActor } from '../../src/pg/tasks/actor.ts'
import { startTaskProcess } from './process.ts'

const { target, name, hold, shutdownMs } = JSON.parse(process.argv[2] ?? '{}')
const Text = Type.Object({ text: Type.String() })
const mark = async (what: string) => {
  await running.db.rows(sql`insert into marks (worker, what) values (${name}, ${what})`)
}

const actors = [
  defineActor({
    name: 'hold',
    description: 'Begins, and ends when told to.',
    payload: Text,
    backoffSeconds: 0.05,
    run: async ({ payload, attempt, signal }) => {
      await mark(`begin ${payload.text} ${attempt}`)
      if (hold === true) await sleep(600_000, undefined, { signal })
      await mark(`end ${payload.text} ${attempt}`)
    },
  }),
  defineActor({
    name: 'tick',
    description: 'Runs by itself.',
    payload: Type.Object({}),
    schedule: { crontab: '* * * * *', payload: {} },
    run: () => mark('tick'),
  }),
]
const running = await startTaskProcess(() => target, actors, {
  name,
  shutdownMs: shutdownMs ?? 5000,
  graceMs: 500,
})
process.once('SIGTERM', async () => {
  await running.close()
  process.exit(0)
})
process.stdout.write('ready\n')
