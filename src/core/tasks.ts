// Every background task on one page: the engine's own upkeep, then what Core asks for. An actor's name stands in rows and metrics and
// is never given to another.
import type { Beat } from '../pg/beat.ts'
import type { Leases } from '../pg/leases.ts'
import type { AnyActor } from '../pg/tasks/actor.ts'
import { createTasks, type Tasks } from '../pg/tasks/tasks.ts'
import { upkeepActors } from '../pg/tasks/upkeep.ts'
import type { Core } from './core.ts'
import { createMailer, type Mailer } from './mail/mailer.ts'
import type { MailServer } from './mail/smtp.ts'
import { accessReviewActor } from './tasks/access-reviews.ts'
import { certificateActor } from './tasks/certificates.ts'
import { cleanUpActors } from './tasks/clean-up.ts'
import { connectionsActor } from './tasks/connections.ts'
import { outpostAccountsActor } from './tasks/outpost-accounts.ts'
import { followOutpostChanges, outpostUpdate } from './tasks/outpost-updates.ts'
import { recordFullQueue } from './tasks/queue-full.ts'
import { mailActor } from './tasks/send-mail.ts'

/** What tasks need of Core. */
export type TaskCore = Pick<Core, 'db' | 'bus' | 'log' | 'secrets'>

/**
 * All actors of this program.
 * @param mail what sends mail, and the server it goes to; without them no mail is sent
 */
export function coreActors(
  core: TaskCore,
  node: string,
  mail: { mailer?: Mailer; server?: () => MailServer } = {},
): AnyActor[] {
  return [
    ...upkeepActors({ db: core.db, node, log: core.log }),
    ...cleanUpActors(core),
    accessReviewActor(core),
    certificateActor(core, mail.mailer),
    outpostAccountsActor(core),
    outpostUpdate(core),
    connectionsActor(core),
    mailActor(core, mail.server),
  ]
}

interface CoreTasksOptions {
  core: TaskCore & Pick<Core, 'baseUrl'>
  beat: Beat
  leases: Leases
  /** read anew for every message; undefined = no mail is sent */
  mailServer?: (() => MailServer) | undefined
  /** Tasks that may wait in a queue. */
  maxQueued?: number
}

/**
 * The tasks of a process that only enqueues (Core without worker), or, with `startWorkerTasks`, also runs them. Close it before the
 * database.
 */
export function createCoreTasks(options: CoreTasksOptions & { role: 'enqueue' | 'work' }): Tasks {
  const { core, beat, leases, role, mailServer: server } = options
  // Actors send mail, and mail is a task: the one that is made first asks for the other when it runs.
  const mailer = createMailer({
    core,
    enabled: server !== undefined,
    enqueue: (...task) => tasks.enqueue(...task),
  })
  const tasks = createTasks({
    db: core.db,
    bus: core.bus,
    beat,
    leases,
    actors: coreActors(core, beat.node.name, { mailer, ...(server === undefined ? {} : { server }) }),
    log: core.log,
    role,
    onFull: (queue, most) => recordFullQueue(core.db, queue, most),
    ...(options.maxQueued === undefined ? {} : { maxQueued: options.maxQueued }),
  })
  if (role === 'enqueue') return tasks
  const following = followOutpostChanges({ ...core, enqueue: tasks.enqueue })
  return {
    ...tasks,
    close: async () => {
      await following.close()
      await tasks.close()
    },
  }
}

/**
 * Begins the background work of this process; resolves once jobs are claimed.
 * @returns the tasks, to be given to the API as well; `close` waits up to 30 s for what runs
 */
export async function startWorkerTasks(options: CoreTasksOptions): Promise<Tasks> {
  const tasks = createCoreTasks({ ...options, role: 'work' })
  try {
    await tasks.start()
    return tasks
  } catch (error) {
    await tasks.close()
    throw error
  }
}
