// Removes expired sessions now and then. Any number of processes may do it: the stores see to it that they do not disturb
// each other, and reading never depends on it.
import { errorText, type Log } from '../../log.ts'
import type { SessionStore } from './store.ts'

/**
 * Cleans up every `periodMs`, give or take a fifth, so that replicas spread; the first time after one period.
 * @param options.periodMs default five minutes
 * @returns `close`, which waits for a run under way
 */
export function createCleanUp(options: { store: SessionStore; log: Log; periodMs?: number }): {
  close(): Promise<void>
} {
  const { store, log, periodMs = 5 * 60_000 } = options
  let timer: NodeJS.Timeout | null = null
  let running: Promise<void> = Promise.resolve()
  let closed = false

  function schedule(): void {
    if (closed) return
    timer = setTimeout(
      () => {
        running = run().finally(schedule)
      },
      periodMs * (0.8 + 0.4 * Math.random()),
    )
    timer.unref()
  }

  async function run(): Promise<void> {
    try {
      const removed = await store.cleanUp()
      if (removed > 0) log.info('removed expired sessions', { removed, backend: store.backend })
    } catch (error) {
      log.warning('expired sessions cannot be removed now', { error: errorText(error) })
    }
  }

  schedule()
  return {
    close: async () => {
      closed = true
      if (timer !== null) clearTimeout(timer)
      await running
    },
  }
}
