// Lanes of a pool. A few connections are kept for signing in and for looking up sessions, so that long lists in the admin interface
// never keep anybody out. Whatever runs inside `inLane` takes its connections in that lane.
import { AsyncLocalStorage } from 'node:async_hooks'

export const lanes = ['login', 'general'] as const
export type Lane = (typeof lanes)[number]

const current = new AsyncLocalStorage<Lane>()

/** Runs `work`, and everything it starts, in a lane. @returns what `work` returns */
export function inLane<T>(lane: Lane, work: () => T): T {
  return current.run(lane, work)
}

/** Lane of the running code; `general` unless said otherwise. */
export function currentLane(): Lane {
  return current.getStore() ?? 'general'
}
