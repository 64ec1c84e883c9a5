// From settings to a database that is reachable, migrated and shared by the parts of a process.

import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Registry } from 'prom-client'
import type { Log } from '../log.ts'
import { type Admission, admit } from '../pg/admission.ts'
import type { Beat } from '../pg/beat.ts'
import { createBeat } from '../pg/beat.ts'
import { reservedForLogin } from '../pg/budget.ts'
import { createBus, type WatchedBus } from '../pg/bus.ts'
import { type Cache, createCache } from '../pg/cache.ts'
import { createCacheSweeper } from '../pg/cache-sweeper.ts'
import type { Db } from '../pg/db.ts'
import { createDb } from '../pg/db.ts'
import { createDirect } from '../pg/direct.ts'
import type { Leases } from '../pg/leases.ts'
import { createLeases } from '../pg/leases.ts'
import { registerDatabaseMetrics } from '../pg/metrics.ts'
import { migrate } from '../pg/migrate.ts'
import { loadMigrations } from '../pg/migrations.ts'
import { createPolling } from '../pg/polling.ts'
import type { PoolOptions, WatchedPool } from '../pg/pool.ts'
import { createPool } from '../pg/pool.ts'
import { checkPooler, type PoolerSetting } from '../pg/pooler.ts'
import { createReplicas } from '../pg/replicas.ts'
import { type PgTarget, samePlace } from '../pg/target.ts'
import { version } from '../version.ts'
import { whenReachable } from './reachable.ts'
import type { Shutdown } from './shutdown.ts'

export interface Targets {
  main: () => PgTarget
  /** the database itself, where `main` is a pooler */
  direct: () => PgTarget
  schema: string
  /** what stands in front of `main`; default `auto`: found out */
  pooler?: PoolerSetting
  /** standbys for lists and reports; default none */
  replicas?: (() => PgTarget)[]
  /** time-outs and age of pooled connections; default those of the pool */
  limits?: Pick<
    PoolOptions,
    'statementTimeoutMs' | 'lockTimeoutMs' | 'idleInTransactionTimeoutMs' | 'maxLifetimeSeconds'
  >
}

export interface Database {
  pool: WatchedPool
  /** the arithmetic of connections */
  admission: Admission
  db: Db
  beat: Beat
  bus: WatchedBus
  leases: Leases
  cache: Cache
  /** number of the newest migration this program knows */
  newestMigration: number
}

export const migrationsDirectory = join(import.meta.dirname, '../../migrations')

/**
 * Waits for the database (60 s while it cannot be reached; a refusal ends the start at once), migrates, opens pool and direct
 * connection. Everything is closed by `shutdown`.
 */
export async function openDatabase(options: {
  targets: Targets
  role: 'server' | 'worker' | 'start'
  migrations: 'apply' | 'check'
  /** where the metrics of the database go */
  registry?: Registry
  log: Log
  shutdown: Shutdown
  /** the read replicas as the settings have them now; asked at every SIGHUP */
  replicasAnew?: () => (() => PgTarget)[]
  /** told what the start waits for, one line each */
  tell?: (what: string) => void
}): Promise<Database> {
  const { targets, role, log, shutdown, tell, replicasAnew } = options
  tell?.('waiting for PostgreSQL')
  await whenUsable(targets, log)
  tell?.('not finished yet')
  const files = await migrationsOf(targets)
  const { applied } = await migrate({
    ...files,
    log,
    mode: options.migrations,
    onWait: () => tell?.('waiting_for_migration: another process migrates the database'),
  })
  if (applied.length > 0) log.info('migrated the database', { migrations: applied })
  const node = { id: randomUUID(), name: hostname(), kind: role, version }
  const applicationName = `postern/${role}/${hostname()}`.slice(0, 55)
  const admission = await admit({ target: targets.direct(), schema: targets.schema, role, log })
  const pool = createPool({
    target: targets.main,
    max: admission.budget().pool,
    reservedForLogin,
    applicationName: `${applicationName}/pool`,
    ...targets.limits,
    log,
  })
  const replicas = createReplicas({
    primary: pool,
    targets: targets.replicas ?? [],
    applicationName: `${applicationName}/replica`,
    log,
  })
  const db = createDb({ pool, schema: targets.schema, log, replicas })
  const openDirect = targets.pooler === 'transaction-only' ? createPolling : createDirect
  const direct = openDirect({
    target: targets.direct,
    schema: targets.schema,
    applicationName: `${applicationName}/direct`,
    log,
  })
  const beat = createBeat({ direct, schema: targets.schema, node, log })
  const bus = createBus({ direct, db, beat, log })
  const leases = createLeases({ db, beat, bus, log })
  const cache = createCache({ db, bus, log })
  admission.follow(beat, pool)
  if (options.registry !== undefined)
    registerDatabaseMetrics(options.registry, { pool, db, log, admission, bus, leases, cache, replicas })
  if (replicasAnew !== undefined)
    shutdown.onReload(() => {
      const { added, removed } = replicas.retarget(replicasAnew())
      return { replicas: replicas.state().map(({ target }) => target), added, removed }
    })
  shutdown.add('database pool', () => db.close())
  shutdown.add('read replicas', () => replicas.close())
  shutdown.add('direct connection', () => direct.close())
  shutdown.add('presence', () => beat.close())
  shutdown.add('bus', () => bus.close())
  shutdown.add('leases', () => leases.close())
  shutdown.add('cache', async () => cache.close())
  if (role !== 'server') {
    const sweeper = createCacheSweeper({ db, leases, log })
    shutdown.add('cache sweeper', () => sweeper.close())
  }
  const newestMigration = Math.max(...files.migrations.map(({ id }) => id))
  return { pool, admission, db, beat, bus, leases, cache, newestMigration }
}

/** Runs the migrations and nothing else. @returns ids that were applied */
export async function migrateDatabase(targets: Targets, log: Log): Promise<number[]> {
  await whenUsable(targets, log)
  const { applied } = await migrate({ ...(await migrationsOf(targets)), log, mode: 'apply' })
  return applied
}

async function migrationsOf(targets: Targets) {
  return {
    target: targets.direct(),
    schema: targets.schema,
    migrations: await loadMigrations(migrationsDirectory),
    appVersion: version,
    withoutSession: targets.pooler === 'transaction-only',
  }
}

/** Both endpoints answer, and the direct one keeps sessions. @throws PgError */
async function whenUsable(targets: Targets, log: Log): Promise<void> {
  const { main, direct } = targets
  await whenReachable(direct, log)
  if (!samePlace(main(), direct())) await whenReachable(main, log)
  await checkPooler({ main: main(), direct: direct(), setting: targets.pooler ?? 'auto' })
}
