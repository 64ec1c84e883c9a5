// Sweeps the cache's table from time to time, in one process of all.
import { errorText, type Log } from '../log.ts'
import { sweepCache } from './cache-sweep.ts'
import type { Db } from './db.ts'
import type { Leases } from './leases.ts'

/**
 * @param options.everyMs ± 10 %. Default five minutes
 * @param options.maxBytes above it the table is emptied. Default 256 MiB
 */
export function createCacheSweeper(options: {
  db: Db
  leases: Leases
  log: Log
  everyMs?: number
  maxBytes?: number
}): { close(): Promise<void> } {
  const { db, leases, log } = options
  const everyMs = options.everyMs ?? 300_000
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> | undefined
  let closed = false

  function schedule(): void {
    if (closed) return
    timer = setTimeout(
      () => {
        running = sweep().finally(schedule)
      },
      everyMs * (0.9 + Math.random() / 5),
    )
  }

  async function sweep(): Promise<void> {
    try {
      const lease = await leases.acquire('cache.sweep')
      if (lease === null) return
      try {
        const { expired, emptied } = await sweepCache(db, options)
        if (emptied) log.warning('cache was larger than it may be, it was emptied')
        else if (expired > 0) log.debug('cache swept', { expired })
      } finally {
        await lease.release()
      }
    } catch (error) {
      log.warning('cache not swept', { error: errorText(error) })
    }
  }

  schedule()
  return {
    async close() {
      closed = true
      clearTimeout(timer)
      await running
    },
  }
}
