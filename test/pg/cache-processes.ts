// Several processes of Postern on one database, each with a cache.
import type { TestContext } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { createCache } from '../../src/pg/cache.ts'
import { testDatabase } from '../postgres.ts'
import { startProcess } from './process.ts'

/**
 * Processes with a cache each; nobody is early unless `random` says so.
 * @param options.beatMs leases need one; by default none disturbs the counting of statements
 */
export async function caches(
  t: TestContext,
  count: number,
  { beatMs = 600_000, ...options }: { random?: () => number; waitMs?: number; beatMs?: number } = {},
) {
  const database = await testDatabase(t)
  const processes = await Promise.all(
    Array.from({ length: count }, (_, i) => startProcess(database.target, `p${i}`, { intervalMs: beatMs })),
  )
  const made = processes.map(({ db, bus }) =>
    createCache({ db, bus, log: silentLog, random: () => 0, ...options }),
  )
  t.after(async () => {
    for (const cache of made) cache.close()
    await Promise.all(processes.map(process => process.close()))
  })
  return { database, processes, caches: made as [(typeof made)[0], (typeof made)[0]] }
}
