// One PostgreSQL for a run, as `npm start` would have it, and a database of its own for each benchmark.
import { randomBytes } from 'node:crypto'
import { chmod, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { silentLog } from '../src/log.ts'
import { openConnection } from '../src/pg/client.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../src/pg/embedded.ts'
import { migrate } from '../src/pg/migrate.ts'
import { loadMigrations } from '../src/pg/migrations.ts'
import type { PgTarget } from '../src/pg/target.ts'
import type { BenchContext } from './context.ts'
import { temporaryFolder } from './left-over.ts'

/** Nothing is started before the first database is asked for. */
export function createDatabases(): { create: BenchContext['postgres']; close(): Promise<void> } {
  let dataDir = ''
  let starting: Promise<EmbeddedPostgres> | null = null
  const start = async () => {
    dataDir = await temporaryFolder('postgres')
    await chmod(dataDir, 0o755)
    const server = await startEmbeddedPostgres({
      ...{ dataDir, log: silentLog, maxConnections: 100, endWithUs: true },
      settings: { shared_preload_libraries: 'pg_stat_statements' },
    })
    const { client } = await openConnection(server.adminTarget, { applicationName: 'bench' })
    await client.query('create extension if not exists pg_stat_statements')
    await client.end()
    return server
  }
  const stop = async () => {
    const server = await starting?.catch(() => null)
    await server?.destroy()
    if (dataDir !== '') await rm(dataDir, { recursive: true, force: true })
  }
  let closing: Promise<void> | undefined
  return {
    async create({ migrated = false } = {}) {
      starting ??= start()
      const server = await starting
      const database = `bench_${randomBytes(6).toString('hex')}`
      const { client } = await openConnection(server.adminTarget, { applicationName: 'bench' })
      await client.query(`create database ${database} owner ${server.target.user}`)
      await client.end()
      if (migrated) await prepare({ ...server.target, database })
      return {
        target: { ...server.target, database },
        adminTarget: { ...server.adminTarget, database },
      }
    },
    close() {
      closing ??= stop()
      return closing
    },
  }
}

async function prepare(target: PgTarget): Promise<void> {
  const migrations = await loadMigrations(join(import.meta.dirname, '../migrations'))
  await migrate({
    ...{ target, schema: 'public', migrations, appVersion: 'bench', log: silentLog, mode: 'apply' },
  })
}
