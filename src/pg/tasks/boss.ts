// pg-boss over our pool: its settings, chosen so that an idle worker costs less than two statements a second.
import { CompiledQuery } from 'kysely'
import { type Db as BossDb, PgBoss } from 'pg-boss'
import { errorText, type Log } from '../../log.ts'
import type { Db, Tx } from '../db.ts'
import { bossSchema } from './boss-schema.ts'

/** Statements of pg-boss on the pool or inside the caller's transaction. */
export function bossDatabase(on: Db | Tx): BossDb {
  return {
    async executeSql(text, values) {
      const query = CompiledQuery.raw(text, values ?? [])
      const { rows } = await on.kysely.executeQuery(query)
      return { rows }
    },
  }
}

export interface BossTimers {
  /** How often lost workers are looked for. Default 15. */
  superviseSeconds?: number
}

/** @param role `enqueue` never starts a timer and needs no `start` */
export function createBoss(options: {
  db: Db
  role: 'enqueue' | 'work'
  log: Log
  timers?: BossTimers
}): PgBoss {
  const { db, role, log, timers = {} } = options
  const isWorker = role === 'work'
  const superviseSeconds = timers.superviseSeconds ?? 15
  const boss = new PgBoss({
    db: bossDatabase(db),
    schema: bossSchema(db.schema),
    migrate: false,
    createSchema: false,
    supervise: isWorker,
    // The clock is ours (scheduler.ts): pg-boss looks at most once a minute.
    schedule: false,
    superviseIntervalSeconds: superviseSeconds,
    monitorIntervalSeconds: superviseSeconds,
    maintenanceIntervalSeconds: 300,
    clockMonitorIntervalSeconds: 600,
    queueCacheIntervalSeconds: 600,
    flowIntervalSeconds: 600,
    bamIntervalSeconds: 600,
    monitorVacuum: false,
    reindex: false,
    warningQueueSize: 100_000,
  })
  // Some of its errors are plain objects.
  boss.on('error', error =>
    log.warning('task queue', {
      error: errorText(error instanceof Error ? error : (error as { message: string }).message),
    }),
  )
  boss.on('warning', warning => log.warning('task queue', { warning: warning.message, ...warning.data }))
  return boss
}
