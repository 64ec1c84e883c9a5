// What a background task is made of. An actor is the code, named once and for ever; a task is one call of it with a payload; a run is
// one attempt at it. Bodies may run more than once (a worker can die after the work and before it said so): `id` is the key to tell.
import type { Static, TSchema } from 'typebox'
import type { Log } from '../../log.ts'
import type { Enqueue } from './enqueue.ts'
import type { Isolated } from './isolated.ts'

/** Classes of work. Each is polled by itself, and a slow one does not keep the others waiting. */
export const queues = ['default', 'slow'] as const
export type QueueName = (typeof queues)[number]

export interface RunContext<Payload> {
  payload: Payload
  /** Of the task; the same in each attempt. */
  id: string
  /** 1 for the first. */
  attempt: number
  /** Lines go to the program's log and to the task's own, which the API shows. */
  log: Log
  /** Fires at the time limit, on cancel, when the worker stops, or when another was given the task: end soon, write nothing more. */
  signal: AbortSignal
  /** Shown while the task runs. */
  progress(done: number, total: number): void
  /** Asks for another task, in a transaction if one is given. */
  enqueue: Enqueue
}

/** What an isolated body is given. */
export type IsolatedContext<Payload> = Omit<RunContext<Payload>, 'enqueue'>

export interface Timetable {
  crontab: string
  /** Default `UTC`. */
  timezone?: string
  /** Times at which no worker was there: forgotten, made good by one run, or each by its own. Default `once`. */
  catchUp?: CatchUp
  /** Starts up to this much later, so that not everything starts with the minute; at most a twentieth of the period. Default 0. */
  jitterSeconds?: number
}
export type CatchUp = 'none' | 'once' | 'all'

export interface Actor<S extends TSchema = TSchema> {
  /** Stable: it stands in rows and metrics. */
  name: string
  /** One sentence for the admin. */
  description: string
  /** Default `default`. */
  queue?: QueueName
  payload: S
  /** Attempts after the first. Default 5. */
  retries?: number
  /** Wait before the first retry; doubled for each further, up to an hour. Default 5. */
  backoffSeconds?: number
  /**
   * Default 600. At the limit, as on cancel, the signal fires; who does not heed it within ten seconds is left behind, and what it
   * returns counts no more. Only an isolated actor can be ended by force.
   */
  timeLimitSeconds?: number
  /** Most runs at a time in the whole installation. Default: no limit. */
  limit?: number
  /** Taken although the queue is full: what ends access, and what empties the queue. Default: no. */
  critical?: boolean
  /** When it runs by itself; `payload` as for `enqueue`. */
  schedule?: Timetable & { payload: Static<S> }
  /** @returns a small JSON value, kept with the run */
  run(context: RunContext<Static<S>>): Promise<unknown>
}

/** Any actor, its payload checked by its schema before `run` sees it. */
export type AnyActor = Omit<Actor, 'run' | 'schedule'> & {
  schedule?: Timetable & { payload: unknown }
  /** `run` is never called: the module's own is, in a thread. */
  isolated?: Isolated
  run(context: RunContext<unknown>): Promise<unknown>
}

/** Thrown by a body when no further attempt can succeed: the task fails at once. */
export class FinalFailure extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'FinalFailure'
  }
}

/** Types `run` by the payload's schema. */
export function defineActor<S extends TSchema>(actor: Actor<S>): AnyActor {
  return actor as unknown as AnyActor
}

/** An actor whose body is a module of its own, run in a thread that is ended at the time limit and on cancel. */
export function defineIsolatedActor<S extends TSchema>(
  actor: Omit<Actor<S>, 'run'> & { isolated: Isolated },
): AnyActor {
  const run = () => Promise.reject(new Error(`"${actor.name}" runs in a thread of its own only`))
  return { ...actor, run } as unknown as AnyActor
}

/** An actor with every default in place. */
export type SettledActor = AnyActor &
  Required<Pick<AnyActor, 'queue' | 'retries' | 'backoffSeconds' | 'timeLimitSeconds'>>

/** @throws Error for two actors of one name */
export function actorRegistry(actors: readonly AnyActor[]): Map<string, SettledActor> {
  const registry = new Map<string, SettledActor>()
  for (const actor of actors) {
    if (!/^[a-z][a-z0-9_]{0,79}$/.test(actor.name)) throw new Error(`"${actor.name}" is no name for an actor`)
    if (registry.has(actor.name)) throw new Error(`two actors are called "${actor.name}"`)
    registry.set(actor.name, {
      queue: 'default',
      retries: 5,
      backoffSeconds: 5,
      timeLimitSeconds: 600,
      ...actor,
    })
  }
  return registry
}
