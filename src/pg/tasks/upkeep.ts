// What the engine itself needs done now and then, as tasks like any other.
import Type from 'typebox'
import type { Log } from '../../log.ts'
import type { Db } from '../db.ts'
import { type AnyActor, defineActor } from './actor.ts'
import { createBoss } from './boss.ts'
import { dropOldPartitions, ensurePartitions } from './partitions.ts'
import { collectLost, rollUp } from './rollups.ts'

const Nothing = Type.Object({}, { additionalProperties: false })

/** @param options.node shown with runs whose worker was lost */
export function upkeepActors(options: { db: Db; node: string; log: Log }): AnyActor[] {
  const { db, node, log } = options
  return [
    defineActor({
      name: 'task_figures',
      description:
        'Counts the runs of tasks for metrics and charts, and records tasks whose worker was lost.',
      payload: Nothing,
      retries: 0,
      schedule: { crontab: '*/5 * * * *', payload: {} },
      run: async context => {
        const lost = await collectLost(db, node)
        if (lost > 0) context.log.warning('tasks ended with their worker', { tasks: lost })
        await rollUp(db)
        return { lost }
      },
    }),
    defineActor({
      name: 'task_history',
      description: 'Makes the coming days of the task history and drops those that are old.',
      payload: Nothing,
      schedule: { crontab: '20 */6 * * *', payload: {} },
      run: async () => ({ made: await ensurePartitions(db), dropped: await dropOldPartitions(db) }),
    }),
    defineActor({
      name: 'task_queue_upkeep',
      description: 'Rebuilds indexes of the queue that have grown far beyond their content.',
      queue: 'slow',
      payload: Nothing,
      retries: 1,
      schedule: { crontab: '40 3 * * *', payload: {} },
      run: async () => {
        await createBoss({ db, role: 'enqueue', log }).supervise(undefined, { reindex: true })
      },
    }),
  ]
}
