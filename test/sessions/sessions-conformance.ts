// What the sessions on top of a store promise: bound to their provider, gone everywhere within the lease, at once where the
// end was heard, and never answered from a store that cannot be asked.
import assert from 'node:assert/strict'
import { suite, type TestContext, test } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { newCookieValue, sha256 } from '../../src/proxy/sessions/cookie.ts'
import { createSessions } from '../../src/proxy/sessions/sessions.ts'
import { StoreUnavailable } from '../../src/proxy/sessions/store.ts'
import { type StoreFixture, someRecord } from './conformance.ts'
import { cutOf, leaseMs, sessionOf, someClaims, someProvider, startSessions } from './sessions-harness.ts'

export function sessionsConformance(name: string, open: (t: TestContext) => Promise<StoreFixture>): void {
  const start = async (t: TestContext, lease?: number) => startSessions(t, await open(t), lease)

  suite(`sessions on ${name}`, { concurrency: 4 }, () => {
    test('a session is found warm without a read and synchronously, and cold with one read for all who ask at once', async t => {
      const { sessions, gate, clock, inAnHour } = await start(t)
      const provider = someProvider()
      const claims = someClaims()
      const { cookieValue, session } = await sessions.create(provider, claims, inAnHour)
      const warm = sessions.find(provider, cookieValue)
      assert.ok(!(warm instanceof Promise))
      assert.equal(sessionOf(warm), session)
      assert.equal(gate.reads, 0)
      clock.now += leaseMs
      const cold = await Promise.all([1, 2, 3].map(() => sessions.find(provider, cookieValue)))
      assert.equal(gate.reads, 1)
      for (const found of cold)
        assert.equal(sessionOf(found), session, 'the object stays while the lease is renewed')
      assert.deepEqual(session.claims, claims)
    })

    test('another process, also one started later, finds the session with the same claims', async t => {
      const { sessions, other, inAnHour } = await start(t)
      const provider = someProvider()
      const claims = someClaims({ ak_proxy: { user_attributes: { a: [1] } }, groups: [] })
      const { cookieValue } = await sessions.create(provider, claims, inAnHour)
      assert.deepEqual(sessionOf(await other.find(provider, cookieValue)).claims, claims)
    })

    test('a forged cookie costs no read, a genuine one without a session one read per lease', async t => {
      const { sessions, gate } = await start(t)
      const provider = someProvider()
      const { value } = newCookieValue(provider.cookieSecret)
      const forged = value.slice(0, -8) + (value.endsWith('AAAAAAAA') ? 'BBBBBBBA' : 'AAAAAAAA')
      for (const text of ['', 'x', forged, newCookieValue('another secret').value])
        assert.deepEqual(await sessions.find(provider, text), { kind: 'forged' })
      assert.equal(gate.reads, 0)
      assert.deepEqual(await sessions.find(provider, value), { kind: 'absent' })
      assert.deepEqual(sessions.find(provider, value), { kind: 'absent' })
      assert.equal(gate.reads, 1)
    })

    test('a session is bound to its provider, also when two share a cookie secret, and a new secret ends it', async t => {
      const { sessions, other, inAnHour } = await start(t)
      const provider = someProvider()
      const neighbour = { ...provider, clientId: 'neighbour' }
      const { cookieValue } = await sessions.create(provider, someClaims(), inAnHour)
      for (const at of [sessions, other]) {
        assert.equal((await at.find(neighbour, cookieValue)).kind, 'absent')
        assert.equal((await at.find({ ...provider, cookieSecret: 'new' }, cookieValue)).kind, 'forged')
        assert.equal((await at.find(provider, cookieValue)).kind, 'session')
      }
    })

    test('expiry is checked on every find, within the lease too', async t => {
      const { sessions, clock } = await start(t)
      const provider = someProvider()
      const { cookieValue } = await sessions.create(provider, someClaims(), clock.now + 1_000)
      assert.equal((await sessions.find(provider, cookieValue)).kind, 'session')
      clock.now += 1_000
      assert.deepEqual(sessions.find(provider, cookieValue), { kind: 'absent' })
    })

    test('an end that another process made is seen when the lease is over, one made here at once', async t => {
      const { sessions, other, clock, inAnHour } = await start(t)
      const provider = someProvider()
      const claims = someClaims()
      const { cookieValue } = await sessions.create(provider, claims, inAnHour)
      assert.equal(await other.endBySid(claims.sid), 1)
      assert.equal((await other.find(provider, cookieValue)).kind, 'absent')
      assert.equal((await sessions.find(provider, cookieValue)).kind, 'session')
      clock.now += leaseMs
      assert.equal((await sessions.find(provider, cookieValue)).kind, 'absent')
    })

    test('a session ends by cookie, login, user, provider and all together, and only where it belongs', async t => {
      const { sessions, clock, inAnHour } = await start(t)
      const [provider, second] = [someProvider(), someProvider()]
      const claims = someClaims()
      const make = async (at = provider, of = claims) => (await sessions.create(at, of, inAnHour)).cookieValue
      const kindOf = async (cookie: string, at = provider) => (await sessions.find(at, cookie)).kind
      const bystander = await make(provider, someClaims({ sid: '' }))

      const byCookie = await make()
      assert.equal(await sessions.endSession(provider, byCookie), 1)
      assert.equal(await sessions.endSession(provider, 'no cookie'), 0)
      assert.equal(await kindOf(byCookie), 'absent')

      const byLogin = [await make(), await make()]
      assert.equal(await sessions.endBySid(''), 0, 'no login is nobody')
      assert.equal(await sessions.endBySid(claims.sid), 2)
      for (const cookie of byLogin) assert.equal(await kindOf(cookie), 'absent')

      const here = await make()
      const there = await make(second)
      assert.equal(await sessions.endByUser(''), 0)
      assert.equal(await sessions.endByUser(claims.sub, second.clientId), 1)
      assert.deepEqual([await kindOf(here), await kindOf(there, second)], ['session', 'absent'])
      assert.equal(await sessions.endByUser(claims.sub), 1)
      assert.equal(await kindOf(here), 'absent')

      const atSecond = await make(second)
      assert.equal(await sessions.endByProvider(second.clientId, clock.now - 1), 0)
      assert.equal(await kindOf(atSecond, second), 'session', 'it began later')
      assert.equal(await sessions.endByProvider(second.clientId), 1)
      assert.equal(await kindOf(atSecond, second), 'absent')
      assert.equal(await kindOf(bystander), 'session')
      assert.equal(await sessions.endAll(), 1)
      assert.equal(await kindOf(bystander), 'absent')
    })

    test('a login replaces the session of the cookie the browser had', async t => {
      const { sessions, other, inAnHour } = await start(t)
      const provider = someProvider()
      const first = await sessions.create(provider, someClaims(), inAnHour)
      const second = await sessions.create(provider, someClaims(), inAnHour, first.cookieValue)
      const third = await sessions.create(provider, someClaims(), inAnHour, 'not one of ours')
      for (const at of [sessions, other]) {
        assert.equal((await at.find(provider, first.cookieValue)).kind, 'absent')
        assert.equal((await at.find(provider, second.cookieValue)).kind, 'session')
        assert.equal((await at.find(provider, third.cookieValue)).kind, 'session')
      }
    })

    test('an unreachable store: known within the lease, then unavailable, never absent; and it heals by itself', async t => {
      const { sessions, gate, clock, inAnHour } = await start(t)
      const provider = someProvider()
      const { cookieValue, session } = await sessions.create(provider, someClaims(), inAnHour)
      gate.down = true
      assert.equal((await sessions.find(provider, cookieValue)).kind, 'session')
      clock.now += leaseMs
      const unknown = newCookieValue(provider.cookieSecret).value
      for (const cookie of [cookieValue, unknown])
        assert.deepEqual(await sessions.find(provider, cookie), { kind: 'unavailable' })
      assert.deepEqual(await sessions.find(provider, 'forged'), { kind: 'forged' })
      await assert.rejects(sessions.create(provider, someClaims(), inAnHour), StoreUnavailable)
      await assert.rejects(sessions.endSession(provider, cookieValue), StoreUnavailable)
      gate.down = false
      assert.deepEqual(sessionOf(await sessions.find(provider, cookieValue)).claims, session.claims)
    })

    test('whatever a store throws, find gives an answer, and never a session', async t => {
      const { sessions, gate, clock, inAnHour } = await start(t)
      const provider = someProvider()
      const { cookieValue } = await sessions.create(provider, someClaims(), inAnHour)
      clock.now += leaseMs
      gate.beforeAnswer = async () => {
        throw new TypeError('a fault of ours')
      }
      assert.deepEqual(await sessions.find(provider, cookieValue), { kind: 'unavailable' })
    })

    test('a read that is under way when its session is ended brings nothing back', async t => {
      const { sessions, gate, clock, inAnHour } = await start(t)
      const provider = someProvider()
      const claims = someClaims()
      const { cookieValue } = await sessions.create(provider, claims, inAnHour)
      clock.now += leaseMs
      const held = Promise.withResolvers<void>()
      const arrived = Promise.withResolvers<void>()
      gate.beforeAnswer = () => {
        arrived.resolve()
        return held.promise
      }
      const reading = sessions.find(provider, cookieValue)
      await arrived.promise
      gate.beforeAnswer = async () => {}
      await sessions.endBySid(claims.sid)
      held.resolve()
      assert.equal((await reading).kind, 'absent')
      assert.equal((await sessions.find(provider, cookieValue)).kind, 'absent')
    })

    test('a session whose login ends while it is being stored does not come to life', async t => {
      const { sessions, other, gate, inAnHour } = await start(t)
      const provider = someProvider()
      const claims = someClaims()
      const held = Promise.withResolvers<void>()
      const arrived = Promise.withResolvers<void>()
      gate.beforeAnswer = () => {
        arrived.resolve()
        return held.promise
      }
      const creating = sessions.create(provider, claims, inAnHour)
      await arrived.promise
      gate.beforeAnswer = async () => {}
      await sessions.endBySid(claims.sid)
      held.resolve()
      const { cookieValue } = await creating
      assert.equal((await sessions.find(provider, cookieValue)).kind, 'absent')
      assert.equal((await other.find(provider, cookieValue)).kind, 'absent')
    })

    test('open streams are asked for once per lease in one read, and cut when their session is gone or expired', async t => {
      const { sessions, other, gate, clock, inAnHour } = await start(t, 40)
      const provider = someProvider()
      const make = async (expiresAt: number) =>
        (await sessions.create(provider, someClaims(), expiresAt)).session
      const [stays, gone, expires] = [await make(inAnHour), await make(inAnHour), await make(clock.now + 500)]
      const cuts: string[] = []
      const goneCut = cutOf(sessions, gone, reason => cuts.push(`gone ${reason}`))
      const expiredCut = cutOf(sessions, expires, reason => cuts.push(`expires ${reason}`))
      const forget = sessions.watch(stays, reason => cuts.push(`stays ${reason}`))
      await other.endBySid(gone.claims.sid)
      await goneCut
      clock.now += 500
      await expiredCut
      assert.deepEqual(cuts.sort(), ['expires expired', 'gone ended'])
      assert.ok(gate.reads >= 1)
      gate.down = true
      const reads = gate.reads
      while (gate.reads < reads + 2) await new Promise(resolve => setImmediate(resolve))
      assert.equal(cuts.length, 2, 'a store that is away cuts nobody')
      forget()
    })

    test('ending a session here cuts its streams at once, and a stream of an ended session is cut when it comes', async t => {
      const { sessions, inAnHour } = await start(t)
      const provider = someProvider()
      const { cookieValue, session } = await sessions.create(provider, someClaims(), inAnHour)
      const cut = cutOf(sessions, session)
      await sessions.endSession(provider, cookieValue)
      assert.equal(await cut, 'ended')
      assert.equal(await cutOf(sessions, session), 'ended')
    })

    test('the store holds neither the cookie nor a claim in clear, only hashes', async t => {
      const { sessions, store, inAnHour } = await start(t)
      const provider = someProvider()
      const claims = someClaims({ sub: 'somebody', email: 'somebody@example.com' })
      const { cookieValue, session } = await sessions.create(provider, claims, inAnHour)
      const record = (await store.load(session.keyHash))!
      assert.deepEqual(record.keyHash, sha256(cookieValue))
      assert.deepEqual(record.userHash, sha256(claims.sub))
      assert.deepEqual(record.sidHash, sha256(claims.sid))
      for (const text of [cookieValue, 'somebody', claims.sid, provider.cookieSecret])
        assert.equal(record.sealed.includes(text), false)
    })

    test('memory is bounded: what does not fit is read again', async t => {
      const { sessions, gate, inAnHour } = await start(t, 30_000)
      const provider = someProvider()
      const { cookieValue } = await sessions.create(provider, someClaims(), inAnHour)
      for (let count = 0; count < 100; count++)
        await sessions.find(provider, newCookieValue(provider.cookieSecret).value)
      const reads = gate.reads
      assert.equal((await sessions.find(provider, cookieValue)).kind, 'session')
      assert.equal(gate.reads, reads + 1)
    })

    test('expired records leave the store without anybody asking', async t => {
      const { store } = await open(t)
      const record = someRecord({ expiresAt: new Date(0) })
      await store.save(record)
      const sessions = createSessions({ store, leaseMs, maxEntries: 1, cleanUpMs: 5, log: silentLog })
      const counted = Promise.withResolvers<number>()
      const inner = store.cleanUp
      store.cleanUp = async () => {
        const removed = await inner()
        if (removed > 0) counted.resolve(removed)
        return removed
      }
      assert.equal(await counted.promise, 1)
      await sessions.close()
    })

    test('a lease of zero asks the store every time', async t => {
      const { sessions, gate, inAnHour } = await start(t, 0)
      const provider = someProvider()
      const { cookieValue } = await sessions.create(provider, someClaims(), inAnHour)
      for (let count = 1; count <= 3; count++) {
        assert.equal((await sessions.find(provider, cookieValue)).kind, 'session')
        assert.equal(gate.reads, count)
      }
    })
  })
}
