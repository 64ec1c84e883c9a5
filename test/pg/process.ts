// What one process of Postern has towards PostgreSQL, made several times in one test.
import { randomUUID } from 'node:crypto'
import { silentLog } from '../../src/log.ts'
import { createBeat } from '../../src/pg/beat.ts'
import { createBus } from '../../src/pg/bus.ts'
import { createDb } from '../../src/pg/db.ts'
import { createDirect } from '../../src/pg/direct.ts'
import { createLeases } from '../../src/pg/leases.ts'
import { createPool } from '../../src/pg/pool.ts'
import type { PgTarget } from '../../src/pg/target.ts'

export type TestProcess = Awaited<ReturnType<typeof startProcess>>

/** @param options.intervalMs of the beat; default 100 */
export async function startProcess(
  target: () => PgTarget,
  name: string,
  options: {
    intervalMs?: number
    resyncMs?: number
    withBus?: boolean
    /** where the direct connection leads; default: as `target` */
    direct?: () => PgTarget
  } = {},
) {
  const log = silentLog
  const node = { id: randomUUID(), name, kind: 'test', version: '0' }
  const pool = createPool({ target, max: 3, applicationName: `${name} pool`, log })
  const db = createDb({ pool, schema: 'public', log })
  const direct = createDirect({
    target: options.direct ?? target,
    applicationName: `${name} direct`,
    log,
    deadlineMs: 1000,
  })
  await direct.ready
  const beat = createBeat({ direct, schema: 'public', node, log, intervalMs: options.intervalMs ?? 100 })
  const bus = createBus({ direct, db, beat, log, resyncMs: options.resyncMs ?? 30_000 })
  const leases = createLeases({ db, beat, log, ...(options.withBus === false ? {} : { bus }) })
  return {
    node,
    db,
    direct,
    beat,
    bus,
    leases,
    async close() {
      await leases.close()
      await bus.close()
      await beat.close()
      await direct.close()
      await db.close()
    },
    /** Ends all connections without a word, as a killed process does. */
    async kill() {
      await direct.close()
      await bus.close()
      await beat.close()
      await db.close()
    },
  }
}
