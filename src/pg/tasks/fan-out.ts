// Work on very many objects as one task: it goes through their keys page by page and remembers each page that is finished, so that a
// new attempt goes on where the last one stopped. Others may help; nothing is ever filed per object.
import { setTimeout as sleep } from 'node:timers/promises'
import Type, { type Static, type TSchema } from 'typebox'
import type { Db, Queryable } from '../db.ts'
import { type Actor, type AnyActor, defineActor, type RunContext } from './actor.ts'
import { closeFanOut, fanOutFigures, finishPage, type Holder, openFanOut, takePage } from './fan-out-rows.ts'

export interface PagedActor<S extends TSchema> extends Omit<Actor<S>, 'run'> {
  /** Number of objects, for the progress that is shown. */
  count(payload: Static<S>): Promise<number>
  /** Keys after the given one, in the order of the keys, at most `limit`; fewer end it. */
  keys(on: Queryable, payload: Static<S>, after: string | null, limit: number): Promise<string[]>
  /** One page. It runs again when its worker dies before the page is noted as finished. */
  page(keys: string[], context: RunContext<Static<S>>): Promise<void>
  /** Default 100. */
  pageSize?: number
  /** Tasks that help, where workers have room. Default 0. */
  helpers?: number
}

const standardPageSize = 100
/** How often a task that has no page left looks whether the others have finished theirs. */
const waitMs = 250

/** @returns the actor, and the one of its helpers, `<name>_pages`, when it has some */
export function definePagedActors<S extends TSchema>(db: Db, actor: PagedActor<S>): AnyActor[] {
  const { count, keys, page, pageSize = standardPageSize, helpers = 0, ...plain } = actor
  const helperName = `${actor.name}_pages`
  const work = async (id: string, context: RunContext<Static<S>>, attempt: Holder) => {
    for (;;) {
      context.signal.throwIfAborted()
      const taken = await takePage(db, id, attempt, pageSize, (tx, after) =>
        keys(tx, context.payload, after, pageSize),
      )
      if (taken === null) return
      await page(taken.keys, context)
      context.signal.throwIfAborted()
      if (!(await finishPage(db, id, attempt, taken)))
        throw new Error('a page was given to another attempt meanwhile')
      const now = await fanOutFigures(db, id)
      if (now !== undefined) context.progress(now.done, now.total)
    }
  }
  const main = defineActor({
    ...plain,
    run: async context => {
      const { id, attempt, payload, signal } = context
      await openFanOut(db, id, () => count(payload))
      for (let n = 0; n < helpers; n++)
        await context.enqueue(db, helperName, { task: id, payload }, { dedupe: `${id}/${n}` })
      for (;;) {
        await work(id, context, { id, attempt })
        const { open = 0, done = 0, total = 0 } = (await fanOutFigures(db, id)) ?? {}
        if (open === 0) {
          await closeFanOut(db, id)
          return { done, total }
        }
        // A helper has the last pages; those of one that dies come back.
        await sleep(waitMs, undefined, { signal })
      }
    },
  } as Actor<S>)
  if (helpers === 0) return [main]
  const helper = defineActor({
    name: helperName,
    description: `Helps: ${actor.description}`,
    payload: Type.Object({ task: Type.String({ format: 'uuid' }), payload: actor.payload }),
    retries: 0,
    ...(actor.queue === undefined ? {} : { queue: actor.queue }),
    ...(actor.timeLimitSeconds === undefined ? {} : { timeLimitSeconds: actor.timeLimitSeconds }),
    run: async context => {
      const { task, payload } = context.payload as unknown as { task: string; payload: Static<S> }
      const own = { id: context.id, attempt: context.attempt }
      await work(task, { ...context, payload } as RunContext<Static<S>>, own)
    },
  })
  return [main, helper]
}
