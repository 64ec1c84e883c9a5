// How often a client may fail. Only failures count, so a busy client is never slowed down; counters live in this process, since what
// they protect are random secrets nobody guesses: the limit keeps a flood of wrong ones from the log and the database.
import { OAuthError } from './errors.ts'

export interface FailureLimit {
  /** @throws OAuthError `slow_down` (429, with Retry-After) while `key` is over the limit */
  check(key: string): void
  failed(key: string): void
}

/**
 * @param options.limit failures within the window
 * @param options.windowMs from the first failure
 */
export function createFailureLimit(options: {
  limit: number
  windowMs: number
  now: () => Date
}): FailureLimit {
  const { limit, windowMs } = options
  const counters = new Map<string, { failures: number; endsAt: number }>()
  const current = (key: string) => {
    const counter = counters.get(key)
    if (counter === undefined || counter.endsAt > options.now().getTime()) return counter
    counters.delete(key)
    return undefined
  }
  return {
    check(key) {
      const counter = current(key)
      if (counter === undefined || counter.failures < limit) return
      const seconds = Math.ceil((counter.endsAt - options.now().getTime()) / 1000)
      throw new OAuthError('slow_down', 'Too many failed requests.', {
        headers: { 'Retry-After': String(Math.max(1, seconds)) },
      })
    },
    failed(key) {
      const counter = current(key)
      if (counter !== undefined) {
        counter.failures++
        return
      }
      if (counters.size >= mostKeys) counters.delete(counters.keys().next().value ?? '')
      counters.set(key, { failures: 1, endsAt: options.now().getTime() + windowMs })
    },
  }
}

/** Bounds the memory an attacker with many addresses can take: the oldest counter gives way. */
const mostKeys = 10_000
