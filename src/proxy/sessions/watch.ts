// Open WebSockets and streams: they pass no request any more at which their session could be asked for, so all of them are
// asked for together, once per lease, in one statement.
import { errorText, type Log } from '../../log.ts'
import { type Eviction, ends, type Subject } from './eviction.ts'
import type { LiveSession } from './sessions.ts'
import type { SessionStore } from './store.ts'

export type Cut = (reason: 'ended' | 'expired') => void

export interface Watch {
  /** @param subject null: the session has ended already, so it is cut at once @returns a function that forgets it */
  add(session: LiveSession, subject: Subject | null, cut: Cut): () => void
  /** Cuts what the eviction ends, now. */
  evict(eviction: Eviction): void
  /** Asks the store about all at once; without an answer only the expiry is judged. */
  recheck(): Promise<void>
  close(): void
}

interface Watched {
  session: LiveSession
  subject: Subject
  cut: Cut
}

/**
 * @param options.onGone told the keys the store no longer has
 * @param options.periodMs time between two rechecks
 */
export function createWatch(options: {
  store: SessionStore
  periodMs: number
  now: () => number
  log: Log
  onGone: (eviction: Eviction) => void
}): Watch {
  const { store, periodMs, now, log, onGone } = options
  const watched = new Set<Watched>()
  let timer: NodeJS.Timeout | null = null
  let storeDown = false
  let closed = false

  function end(one: Watched, reason: 'ended' | 'expired'): void {
    if (!watched.delete(one)) return
    try {
      one.cut(reason)
    } catch (error) {
      log.error('cutting a stream failed', { error: errorText(error) })
    }
  }

  async function recheck(): Promise<void> {
    for (const one of [...watched]) if (one.session.expiresAt <= now()) end(one, 'expired')
    if (watched.size === 0) return
    const asked = new Map([...watched].map(one => [one.subject.key, one.session.keyHash]))
    try {
      const live = new Set((await store.live([...asked.values()])).map(key => key.toString('hex')))
      for (const key of asked.keys()) if (!live.has(key)) onGone({ by: 'key', key })
      if (storeDown) log.info('open streams are checked again', { streams: watched.size })
      storeDown = false
    } catch (error) {
      if (!storeDown)
        log.warning('open streams cannot be checked now', { streams: watched.size, error: errorText(error) })
      storeDown = true
    }
  }

  /** The next recheck is set when the last one is done, so a slow store is never asked twice at once. */
  function schedule(): void {
    if (timer !== null || closed || watched.size === 0) return
    timer = setTimeout(() => {
      void recheck().finally(() => {
        timer = null
        schedule()
      })
    }, periodMs)
    timer.unref()
  }

  return {
    add: (session, subject, cut) => {
      if (subject === null) {
        queueMicrotask(() => cut('ended'))
        return () => {}
      }
      const one = { session, subject, cut }
      watched.add(one)
      schedule()
      return () => {
        watched.delete(one)
      }
    },
    evict: eviction => {
      for (const one of [...watched]) if (ends(eviction, one.subject)) end(one, 'ended')
    },
    recheck,
    close: () => {
      closed = true
      if (timer !== null) clearTimeout(timer)
      watched.clear()
    },
  }
}
