// A process with tasks, made several times in one test: what it has towards PostgreSQL, and the engine on it.
import { randomUUID } from 'node:crypto'
import { silentLog } from '../../src/log.ts'
import { createBeat } from '../../src/pg/beat.ts'
import { createBus } from '../../src/pg/bus.ts'
import { createDb, type Db } from '../../src/pg/db.ts'
import { createDirect } from '../../src/pg/direct.ts'
import { createLeases } from '../../src/pg/leases.ts'
import { createPool } from '../../src/pg/pool.ts'
import type { PgTarget } from '../../src/pg/target.ts'
import type { AnyActor } from '../../src/pg/tasks/actor.ts'
import { createTasks, type TasksOptions } from '../../src/pg/tasks/tasks.ts'
import { directOf } from '../pg/straight.ts'

export type TaskProcess = Awaited<ReturnType<typeof startTaskProcess>>

/**
 * Everything quick unless told otherwise: lost workers are looked for every second.
 * @param actors made of the process's database where they need it
 */
export async function startTaskProcess(
  target: () => PgTarget,
  actors: readonly AnyActor[] | ((db: Db) => readonly AnyActor[]),
  options: Partial<TasksOptions> & { name?: string; schema?: string } = {},
) {
  const { name = 'worker', log = silentLog, role = 'work', schema = 'public' } = options
  const node = { id: randomUUID(), name, kind: role === 'work' ? 'worker' : 'server', version: '0' }
  const pool = createPool({ target, max: 6, applicationName: `${name} pool`, log })
  const db = createDb({ pool, schema, log })
  const straight = () => directOf(target())
  const direct = createDirect({ target: straight, applicationName: `${name} direct`, log, deadlineMs: 2000 })
  await direct.ready
  const beat = createBeat({ direct, schema, node, log })
  const bus = createBus({ direct, db, beat, log })
  await listening(bus)
  const leases = createLeases({ db, beat, bus, log })
  const tasks = createTasks({
    db,
    bus,
    beat,
    leases,
    actors: typeof actors === 'function' ? actors(db) : actors,
    role,
    heartbeatSeconds: 10,
    beatMs: 2000,
    ...options,
    log,
    timers: { superviseSeconds: 1, ...options.timers },
  })
  if (role === 'work') await tasks.start()
  return {
    node,
    pool,
    db,
    bus,
    direct,
    leases,
    tasks,
    async close() {
      await tasks.close()
      await leases.close()
      await bus.close()
      await beat.close()
      await direct.close()
      await db.close()
    },
  }
}

function listening(bus: ReturnType<typeof createBus>): Promise<void> {
  return new Promise(resolve => {
    const end = bus.onResync(async () => {
      resolve()
      setImmediate(() => end())
    })
  })
}
