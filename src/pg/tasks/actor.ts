// What a background task is made of. An actor is the code, named once and for ever; a task is one call of it with a payload; a run is
// one attempt at it. Bodies may run more than once (a worker can die after the work and before it said so): `id` is the key to tell.
import type { Static, TSchema } from 'typebox'
import type { Log } from '../../log.ts'

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
  /** Fires at the time limit, when the worker stops, or when another worker was given the task: end soon, write nothing more. */
  signal: AbortSignal
  /** Shown while the task runs. */
  progress(done: number, total: number): void
}

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
  /** Default 600. */
  timeLimitSeconds?: number
  /** Most runs at a time in the whole installation. Default: no limit. */
  limit?: number
  /** When it runs by itself; `payload` as for `enqueue`. */
  schedule?: { crontab: string; timezone?: string; payload: Static<S> }
  /** @returns a small JSON value, kept with the run */
  run(context: RunContext<Static<S>>): Promise<unknown>
}

/** Any actor, its payload checked by its schema before `run` sees it. */
export type AnyActor = Omit<Actor, 'run' | 'schedule'> & {
  schedule?: { crontab: string; timezone?: string; payload: unknown }
  run(context: RunContext<unknown>): Promise<unknown>
}

/** Types `run` by the payload's schema. */
export function defineActor<S extends TSchema>(actor: Actor<S>): AnyActor {
  return actor as unknown as AnyActor
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
