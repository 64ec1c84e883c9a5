// What one process of Postern has towards PostgreSQL, made several times in one test.
import { randomUUID } from 'node:crypto'
import { silentLog } from '../../src/log.ts'
import { createBeat } from '../../src/pg/beat.ts'
import { createBus } from '../../src/pg/bus.ts'
import { createDb } from '../../src/pg/db.ts'
import { createDirect } from '../../src/pg/direct.ts'
import { createLeases } from '../../src/pg/leases.ts'
import { createPolling } from '../../src/pg/polling.ts'
import { createPool } from '../../src/pg/pool.ts'
import type { PgTarget } from '../../src/pg/target.ts'
import { directOf } from './straight.ts'

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
    /** nothing but a transaction pooler: messages are asked for */
    polls?: boolean
  } = {},
) {
  const log = silentLog
  const node = { id: randomUUID(), name, kind: 'test', version: '0' }
  const pool = createPool({ target, max: 3, applicationName: `${name} pool`, log })
  const db = createDb({ pool, schema: 'public', log })
  const open = options.polls === true ? createPolling : createDirect
  const direct = open({
    target: options.polls === true ? target : (options.direct ?? (() => directOf(target()))),
    schema: 'public',
    applicationName: `${name} direct`,
    log,
    deadlineMs: 1000,
  })
  await direct.ready
  const beat = createBeat({ direct, schema: 'public', node, log, intervalMs: options.intervalMs ?? 100 })
  const bus = createBus({ direct, db, beat, log, resyncMs: options.resyncMs ?? 30_000 })
  const leases = createLeases({ db, beat, log, ...(options.withBus === false ? {} : { bus }) })
  let closing: Promise<void> | undefined
  return {
    node,
    db,
    direct,
    beat,
    bus,
    leases,
    /** Safe to call twice. */
    close() {
      closing ??= (async () => {
        await leases.close()
        await bus.close()
        await beat.close()
        await direct.close()
        await db.close()
      })()
      return closing
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
