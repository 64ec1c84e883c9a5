// Sessions on a store that can be watched, held back and broken.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { TestContext } from 'node:test'
import { silentLog } from '../../src/log.ts'
import {
  createSessions,
  type Found,
  type LiveSession,
  type Sessions,
} from '../../src/proxy/sessions/sessions.ts'
import { type SessionStore, StoreUnavailable } from '../../src/proxy/sessions/store.ts'
import type { Claims } from '../../src/wire/outpost.ts'
import type { StoreFixture } from './conformance.ts'

export const leaseMs = 2_000

export function someProvider(clientId = `client-${randomBytes(4).toString('hex')}`) {
  return { clientId, cookieSecret: randomBytes(16).toString('hex') }
}

export function someClaims(claims: Partial<Claims> = {}): Claims {
  return {
    ...{
      sub: randomBytes(8).toString('hex'),
      exp: 2_000_000_000,
      email: 'a@example.com',
      email_verified: true,
    },
    ...{ name: 'A', preferred_username: 'a', groups: ['g'], entitlements: [], ak_proxy: null },
    ...{ sid: randomBytes(32).toString('hex'), raw_token: 'h.p.s' },
    ...claims,
  }
}

/** A store in front of a real one: it counts reads, can be down, and can hold an answer back. */
function gated(store: SessionStore) {
  const gate = { reads: 0, down: false, beforeAnswer: async (): Promise<void> => {} }
  const through = async <T>(work: () => Promise<T>): Promise<T> => {
    if (gate.down) throw new StoreUnavailable('down for the test')
    const answer = await work()
    await gate.beforeAnswer()
    return answer
  }
  const gatedStore: SessionStore = {
    ...store,
    load: key => {
      gate.reads++
      return through(() => store.load(key))
    },
    live: keys => {
      gate.reads++
      return through(() => store.live(keys))
    },
    save: record => through(() => store.save(record)),
    deleteByKey: key => through(() => store.deleteByKey(key)),
  }
  return { gate, store: gatedStore }
}

/**
 * Two processes on one store, with a clock that stands still until it is moved; the first one's store can be made to fail.
 * @param lease of both, in ms
 */
export async function startSessions(t: TestContext, fixture: StoreFixture, lease = leaseMs) {
  const { gate, store } = gated(fixture.store)
  const clock = { now: Date.now() }
  const make = (on: SessionStore): Sessions => {
    const sessions = createSessions({
      ...{ store: on, leaseMs: lease, maxEntries: 100, log: silentLog },
      now: () => clock.now,
    })
    t.after(() => sessions.close())
    return sessions
  }
  const inAnHour = clock.now + 3_600_000
  return { gate, store, clock, inAnHour, sessions: make(store), other: make(await fixture.another()) }
}

export function sessionOf(found: Found): LiveSession {
  assert.equal(found.kind, 'session')
  return (found as Extract<Found, { kind: 'session' }>).session
}

export function cutOf(
  sessions: Sessions,
  session: LiveSession,
  also: (reason: string) => void = () => {},
): Promise<string> {
  return new Promise(resolve => {
    sessions.watch(session, reason => {
      also(reason)
      resolve(reason)
    })
  })
}
