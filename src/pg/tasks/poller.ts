// One queue of a worker: claims as many jobs as it has room for, at the doorbell, when a slot frees and more are known to wait, and
// now and then anyway, since a bell may be lost.
import { errorText, type Log } from '../../log.ts'
import { furthestBellMs } from './doorbell.ts'

export interface Poller {
  /** There may be work now, or in `inMs`. */
  ring(inMs?: number): void
  /** A job has ended. */
  freed(): void
  /** Claims nothing more; resolves when a claim under way has been handed over. */
  close(): Promise<void>
}

/**
 * @param options.room how many jobs could be started now
 * @param options.claim claims up to `count` jobs and starts them; resolves with their number
 * @param options.pollMs ± 10 %
 */
export function createPoller(options: {
  queue: string
  pollMs: number
  room: () => number
  claim: (count: number) => Promise<number>
  log: Log
}): Poller {
  const { queue, pollMs, room, claim, log } = options
  let timer: NodeJS.Timeout | undefined
  const bells = new Set<NodeJS.Timeout>()
  let claiming: Promise<void> | undefined
  let maybeMore = false
  let freeing = false
  let closed = false

  function look(): void {
    if (closed || claiming !== undefined) return
    const count = room()
    if (count <= 0) {
      sleep()
      return
    }
    clearTimeout(timer)
    maybeMore = false
    claiming = claim(count)
      .then(
        claimed => {
          if (claimed >= count) maybeMore = true
        },
        error => log.warning('queue cannot be read now', { queue, error: errorText(error) }),
      )
      .finally(() => {
        claiming = undefined
        if (closed) return
        sleep()
        if (maybeMore) look()
      })
  }

  function sleep(): void {
    clearTimeout(timer)
    timer = setTimeout(ring, pollMs * (0.9 + Math.random() / 5))
  }

  function ring(inMs = 0): void {
    if (closed) return
    if (inMs <= 0) {
      maybeMore = true
      look()
      return
    }
    if (inMs > furthestBellMs) return
    const bell = setTimeout(() => {
      bells.delete(bell)
      ring()
    }, inMs)
    bells.add(bell)
  }

  ring()
  return {
    ring,
    freed() {
      // Those that end together free their places together: one claim fills them all.
      if (!maybeMore || freeing) return
      freeing = true
      setImmediate(() => {
        freeing = false
        look()
      })
    },
    async close() {
      closed = true
      clearTimeout(timer)
      for (const bell of bells) clearTimeout(bell)
      await claiming
    },
  }
}
