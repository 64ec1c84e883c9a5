// Every background task on one page: the engine's own upkeep, then what Core asks for. An actor's name stands in rows and metrics and
// is never given to another.
import type { Beat } from '../pg/beat.ts'
import type { Leases } from '../pg/leases.ts'
import type { AnyActor } from '../pg/tasks/actor.ts'
import { createTasks, type Tasks } from '../pg/tasks/tasks.ts'
import { upkeepActors } from '../pg/tasks/upkeep.ts'
import type { Core } from './core.ts'
import { certificateActor } from './tasks/certificates.ts'
import { cleanUpActors } from './tasks/clean-up.ts'
import { connectionsActor } from './tasks/connections.ts'
import { outpostAccountsActor } from './tasks/outpost-accounts.ts'

/** What tasks need of Core. */
export type TaskCore = Pick<Core, 'db' | 'bus' | 'log' | 'secrets'>

/** All actors of this program. */
export function coreActors(core: TaskCore, node: string): AnyActor[] {
  return [
    ...upkeepActors({ db: core.db, node, log: core.log }),
    ...cleanUpActors(core),
    certificateActor(core),
    outpostAccountsActor(core),
    connectionsActor(core),
  ]
}

/**
 * The tasks of a process that only enqueues (Core without worker), or, with `startWorkerTasks`, also runs them. Close it before the
 * database.
 */
export function createCoreTasks(options: {
  core: TaskCore
  beat: Beat
  leases: Leases
  role: 'enqueue' | 'work'
}): Tasks {
  const { core, beat, leases, role } = options
  return createTasks({
    db: core.db,
    bus: core.bus,
    beat,
    leases,
    actors: coreActors(core, beat.node.name),
    log: core.log,
    role,
  })
}

/**
 * Begins the background work of this process; resolves once jobs are claimed.
 * @returns the tasks, to be given to the API as well; `close` waits up to 30 s for what runs
 */
export async function startWorkerTasks(options: {
  core: TaskCore
  beat: Beat
  leases: Leases
}): Promise<Tasks> {
  const tasks = createCoreTasks({ ...options, role: 'work' })
  try {
    await tasks.start()
    return tasks
  } catch (error) {
    await tasks.close()
    throw error
  }
}
