// What this process remembers of sessions, by the cookie's text: the least recently used go first. An index by login and
// user keeps an eviction from walking over everything; the lease itself is judged by the caller.
import { LRUCache } from 'lru-cache'
import { type Eviction, ends, type Subject } from './eviction.ts'
import type { Found, LiveSession, SessionProvider } from './sessions.ts'

export interface Entry {
  readonly clientId: string
  readonly cookieSecret: string
  /** what `find` answers while the lease lasts, made once */
  readonly found: Found
  /** null: asked, and there was no session */
  readonly held: { readonly session: LiveSession; readonly subject: Subject; readonly digest: string } | null
  /** ms since epoch; until then memory may answer */
  leaseUntil: number
}

export interface LeaseCache {
  /** The entry of this cookie at this provider, its lease over or not. */
  get(cookieValue: string, provider: SessionProvider): Entry | undefined
  set(cookieValue: string, entry: Entry): void
  delete(cookieValue: string): void
  /** @returns the sessions that were forgotten */
  evict(eviction: Eviction): LiveSession[]
  clear(): void
}

/** @param maxEntries cookies remembered at most */
export function createLeaseCache(maxEntries: number): LeaseCache {
  const index = new Map<string, Set<string>>()
  const cache = new LRUCache<string, Entry>({
    max: maxEntries,
    dispose: (entry, cookieValue) => {
      for (const name of indexNames(entry)) {
        const values = index.get(name)
        if (values?.delete(cookieValue) && values.size === 0) index.delete(name)
      }
    },
  })

  function candidates(eviction: Eviction): Iterable<string> {
    switch (eviction.by) {
      case 'key':
      case 'sid':
      case 'user':
        return [...(index.get(indexName(eviction)) ?? [])]
      default:
        return [...cache.keys()]
    }
  }

  return {
    get: (cookieValue, provider) => {
      const entry = cache.get(cookieValue)
      // A session is bound to its provider, and a new cookie secret ends it.
      return entry !== undefined &&
        entry.clientId === provider.clientId &&
        entry.cookieSecret === provider.cookieSecret
        ? entry
        : undefined
    },
    set: (cookieValue, entry) => {
      cache.set(cookieValue, entry) // disposes of the old entry first
      for (const name of indexNames(entry)) {
        const values = index.get(name)
        if (values === undefined) index.set(name, new Set([cookieValue]))
        else values.add(cookieValue)
      }
    },
    delete: cookieValue => {
      cache.delete(cookieValue)
    },
    evict: eviction => {
      const evicted: LiveSession[] = []
      for (const cookieValue of candidates(eviction)) {
        const held = cache.peek(cookieValue)?.held
        if (!held || !ends(eviction, held.subject)) continue
        cache.delete(cookieValue)
        evicted.push(held.session)
      }
      return evicted
    },
    clear: () => cache.clear(),
  }
}

function indexNames(entry: Entry): string[] {
  if (entry.held === null) return []
  const { key, sid, user } = entry.held.subject
  const names = [indexName({ by: 'key', key }), indexName({ by: 'user', user })]
  return sid === null ? names : [...names, indexName({ by: 'sid', sid })]
}

function indexName(of: Extract<Eviction, { by: 'key' | 'sid' | 'user' }>): string {
  switch (of.by) {
    case 'key':
      return `k${of.key}`
    case 'sid':
      return `s${of.sid}`
    case 'user':
      return `u${of.user}`
  }
}
