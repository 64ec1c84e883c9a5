// What follows a change of an outpost besides telling its processes, which Core does at once: account, token and permissions are put
// right, and the place it is deployed to is asked how it is. However many changes there are, one task of an outpost waits and at most
// one runs: the bus tells that something changed, and the task reads what.
import Type from 'typebox'
import { errorText, type Log } from '../../log.ts'
import type { Bus } from '../../pg/bus.ts'
import type { Db } from '../../pg/db.ts'
import { type AnyActor, defineActor } from '../../pg/tasks/actor.ts'
import type { Tasks } from '../../pg/tasks/tasks.ts'
import { ensureAccounts } from '../outposts/account.ts'
import { outpostUpdateMessage } from '../outposts/changed.ts'
import { checkConnection } from '../outposts/connection-state.ts'
import type { TaskCore } from '../tasks.ts'
import { outpostAfterChange } from './outpost-updates.sql.ts'

export const outpostUpdateActor = 'outpost_send_update'

/** Changes that come meanwhile are part of the task that waits. */
const debounceMs = 2000
/** Changes heard within this time are one statement. */
const gatherMs = 500

export function outpostUpdate(core: TaskCore): AnyActor {
  return defineActor({
    name: outpostUpdateActor,
    description:
      'Brings account, permissions and deployment state of an outpost in line after a change of it.',
    payload: Type.Object({ outpost: Type.String({ format: 'uuid' }) }, { additionalProperties: false }),
    retries: 3,
    timeLimitSeconds: 60,
    run: async ({ payload: { outpost }, log }) => {
      await core.db.transaction(tx => ensureAccounts(tx, core, [outpost]))
      const found = await outpostAfterChange(core.db, outpost)
      if (found === undefined) return { deleted: true }
      const { revision, instances, connection } = found
      if (connection === null) return { revision, instances }
      const state = await checkConnection({ ...core, log }, connection)
      return { revision, instances, deployment: state }
    },
  })
}

/**
 * Enqueues a task for each outpost that changes; for processes that work. What is missed costs nothing: the change itself has put the
 * account right, and the sweep every eight hours looks at all.
 */
export function followOutpostChanges(parts: { db: Db; bus: Bus; log: Log; enqueue: Tasks['enqueue'] }): {
  close(): Promise<void>
} {
  const { db, bus, log, enqueue } = parts
  const changed = new Set<string>()
  let timer: NodeJS.Timeout | undefined
  let flushing: Promise<void> | undefined
  let closed = false

  /** One after the other: a change of a brand concerns every outpost. */
  async function flush(): Promise<void> {
    for (const outpost of changed) {
      if (closed) return
      changed.delete(outpost)
      const options = {
        dedupe: outpost,
        delayMs: debounceMs,
        object: { app: 'authentik_outposts', model: 'outpost', id: outpost },
      }
      await enqueue(db, outpostUpdateActor, { outpost }, options).catch(error =>
        log.info('task after the change of an outpost not enqueued', { outpost, error: errorText(error) }),
      )
    }
  }

  function later(): void {
    timer = setTimeout(() => {
      flushing = flush().finally(() => {
        timer = undefined
        if (changed.size > 0 && !closed) later()
      })
    }, gatherMs)
  }

  const stop = bus.subscribe(outpostUpdateMessage, ({ outpost }) => {
    if (typeof outpost !== 'string') return
    changed.add(outpost)
    if (timer === undefined) later()
  })
  return {
    async close() {
      closed = true
      stop()
      clearTimeout(timer)
      await flushing
    },
  }
}
