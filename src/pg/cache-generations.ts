// The generation of each namespace of the cache, as far as this process knows it: told by the bus, compared with the table from time to
// time. Raising it forgets everything of the namespace at once.
import type { Bus } from './bus.ts'
import { raiseGeneration, readGenerations } from './cache-rows.ts'
import type { Db, Tx } from './db.ts'

export interface Generations {
  /** Undefined when this process has not asked yet. */
  known(namespace: string): bigint | undefined
  /** Asks the table; callers at the same time share the answer. @throws PgError when the database cannot be asked */
  ask(namespace: string): Promise<bigint>
  /** Raises it for all processes; inside a transaction once that is committed. */
  raise(namespace: string, tx?: Tx): Promise<void>
  close(): void
}

const messageType = 'cache.generation'

/** Starts listening. */
export function createGenerations({ db, bus }: { db: Db; bus: Bus }): Generations {
  const generations = new Map<string, bigint>()
  const asking = new Map<string, Promise<bigint>>()
  const stopListening = bus.subscribe(messageType, body => {
    const known = generations.get(String(body.namespace))
    const told = BigInt(String(body.generation))
    if (known === undefined || told > known) generations.set(String(body.namespace), told)
  })
  const stopResync = bus.onResync(async () => {
    if (generations.size === 0) return
    const found = await readGenerations(db, [...generations.keys()])
    for (const [namespace, known] of generations) {
      const now = found.get(namespace) ?? 0n
      if (now > known) generations.set(namespace, now)
    }
  })

  async function look(namespace: string): Promise<bigint> {
    const found = (await readGenerations(db, [namespace])).get(namespace) ?? 0n
    // A message may have been faster.
    const heard = generations.get(namespace) ?? 0n
    const latest = heard > found ? heard : found
    generations.set(namespace, latest)
    return latest
  }

  return {
    known: namespace => generations.get(namespace),
    ask(namespace) {
      const asked = asking.get(namespace) ?? look(namespace).finally(() => asking.delete(namespace))
      asking.set(namespace, asked)
      return asked
    },
    async raise(namespace, tx) {
      const generation = await raiseGeneration(tx ?? db, namespace)
      const tell = () => {
        generations.set(namespace, generation)
        bus.publish(messageType, { namespace, generation: String(generation) })
      }
      if (tx === undefined) tell()
      else tx.afterCommit(tell)
    },
    close() {
      stopListening()
      stopResync()
    },
  }
}
