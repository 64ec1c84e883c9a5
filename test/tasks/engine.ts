// An engine in a test, and what its runs left behind.
import type { TestContext } from 'node:test'
import Type from 'typebox'
import { sql } from '../../src/pg/db.ts'
import { type AnyActor, defineActor } from '../../src/pg/tasks/actor.ts'
import type { TasksOptions } from '../../src/pg/tasks/tasks.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { startTaskProcess } from './process.ts'

/** @param options.database default: a new one */
export async function start(
  t: TestContext,
  actors: AnyActor[],
  options: Partial<TasksOptions> & { database?: TestDatabase; name?: string } = {},
) {
  const database = options.database ?? (await testDatabase(t))
  const one = await startTaskProcess(database.target, actors, options)
  t.after(() => one.close())
  return { ...one, database }
}

export interface RunRow {
  task_id: string
  attempt: number
  final: boolean
  state: string
  status: string
  error: string | null
  result: unknown
  after_loss: boolean
}

/** Ended runs of a task, oldest first. */
export function runsOf(database: TestDatabase, id: string): Promise<RunRow[]> {
  return database.db.rows(
    sql<RunRow>`select task_id, attempt, final, state, status, error, result, after_loss from task_runs where task_id = ${id} order by finished_at`,
  )
}

/** An actor that notes its payloads. */
export function noting(name = 'note', more: Partial<AnyActor> = {}) {
  const seen: { text: string; attempt: number; id: string }[] = []
  const actor = defineActor({
    name,
    description: 'Notes a text.',
    payload: Type.Object({ text: Type.String() }),
    run: async ({ payload, attempt, id }) => {
      seen.push({ text: payload.text, attempt, id })
      return { length: payload.text.length }
    },
  })
  return { actor: { ...actor, ...more } as AnyActor, seen }
}
