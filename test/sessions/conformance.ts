// What every session store must do. The two stores of the outpost run the same suite, and the sessions on top of them too.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { suite, type TestContext, test } from 'node:test'
import type { SessionRecord, SessionStore } from '../../src/proxy/sessions/store.ts'

export interface StoreFixture {
  /** prepared */
  store: SessionStore
  /** A second process on the same data, prepared; closed with the test. */
  another(): Promise<SessionStore>
}

const hourMs = 3_600_000

/** A live record, as far as it is not told otherwise. */
export function someRecord(columns: Partial<SessionRecord> = {}): SessionRecord {
  const now = Date.now()
  return {
    keyHash: randomBytes(32),
    clientId: 'client',
    sidHash: randomBytes(32),
    userHash: randomBytes(32),
    sealed: randomBytes(3_000),
    createdAt: new Date(now - 1_000),
    expiresAt: new Date(now + hourMs),
    ...columns,
  }
}

export function storeConformance(name: string, open: (t: TestContext) => Promise<StoreFixture>): void {
  const expired = (): SessionRecord => someRecord({ expiresAt: new Date(Date.now() - 1) })
  const property = (title: string, body: (fixture: StoreFixture) => Promise<void>): void => {
    test(title, async t => body(await open(t)))
  }

  suite(`session store: ${name}`, { concurrency: 4 }, () => {
    property(
      'a saved record is loaded as it was saved, byte by byte, with and without a login',
      async ({ store }) => {
        for (const record of [someRecord(), someRecord({ sidHash: null, clientId: "o'client \\ ü" })]) {
          await store.save(record)
          assert.deepEqual(plain(await store.load(record.keyHash)), plain(record))
        }
      },
    )

    property('an unknown key is absent, and so is an expired record', async ({ store }) => {
      const old = expired()
      await store.save(old)
      assert.equal(await store.load(randomBytes(32)), null)
      assert.equal(await store.load(old.keyHash), null)
    })

    property('of many keys those are live that are neither gone nor expired', async ({ store }) => {
      const [one, two, old] = [someRecord(), someRecord(), expired()]
      for (const record of [one, two, old]) await store.save(record)
      const asked = [one.keyHash, old.keyHash, randomBytes(32), two.keyHash]
      assert.deepEqual(hexes(await store.live(asked)), hexes([one.keyHash, two.keyHash]))
      assert.deepEqual(await store.live([]), [])
    })

    property('saving the same record twice is one session', async ({ store }) => {
      const record = someRecord()
      await store.save(record)
      await store.save(record)
      assert.equal(await store.deleteByKey(record.keyHash), 1)
      assert.equal(await store.deleteByKey(record.keyHash), 0)
      assert.equal(await store.load(record.keyHash), null)
    })

    property('the end of a login ends its sessions at all providers and no other', async ({ store }) => {
      const sidHash = randomBytes(32)
      const mine = [someRecord({ sidHash }), someRecord({ sidHash, clientId: 'second' })]
      const others = [someRecord(), someRecord({ sidHash: null })]
      for (const record of [...mine, ...others]) await store.save(record)
      assert.equal(await store.deleteBySid(randomBytes(32)), 0)
      assert.equal(await store.deleteBySid(sidHash), 2)
      await assertLeft(store, others, mine)
    })

    property('a user is ended up to a time: later sessions stay', async ({ store }) => {
      const userHash = randomBytes(32)
      const moment = Date.now()
      const [before, at, after] = [-1, 0, 1].map(ms =>
        someRecord({ userHash, createdAt: new Date(moment + ms) }),
      )
      for (const record of [before, at, after]) await store.save(record!)
      assert.equal(await store.deleteByUser(userHash, undefined, new Date(moment)), 2)
      await assertLeft(store, [after!], [before!, at!])
    })

    property('a user is ended at one provider or at all', async ({ store }) => {
      const userHash = randomBytes(32)
      const first = someRecord({ userHash })
      const second = someRecord({ userHash, clientId: 'second' })
      const other = someRecord()
      for (const record of [first, second, other]) await store.save(record)
      assert.equal(await store.deleteByUser(userHash, 'second'), 1)
      await assertLeft(store, [first, other], [second])
      assert.equal(await store.deleteByUser(userHash), 1)
      await assertLeft(store, [other], [first, second])
    })

    property('a provider is ended with all its sessions', async ({ store }) => {
      const clientId = 'gone'
      const gone = [someRecord({ clientId }), someRecord({ clientId, sidHash: null })]
      const other = someRecord()
      for (const record of [...gone, other]) await store.save(record)
      assert.equal(await store.deleteByProvider(clientId, new Date(gone[0]!.createdAt.getTime() - 1)), 0)
      assert.equal(await store.deleteByProvider(clientId), 2)
      await assertLeft(store, [other], gone)
    })

    property('everything can be ended at once', async ({ store }) => {
      const all = [someRecord(), someRecord(), expired()]
      for (const record of all) await store.save(record)
      assert.equal(await store.deleteAll(), 3)
      await assertLeft(store, [], all)
    })

    property(
      'clean-up removes every expired record, more than one batch of them, and no live one',
      async ({ store }) => {
        const kept = someRecord()
        const old = Array.from({ length: 1_050 }, () => ({ ...expired(), sealed: randomBytes(30) }))
        await Promise.all([kept, ...old.slice(0, 50)].map(record => store.save(record)))
        for (let at = 50; at < old.length; at += 100)
          await Promise.all(old.slice(at, at + 100).map(record => store.save(record)))
        assert.equal(await store.cleanUp(), 1_050)
        assert.equal(await store.cleanUp(), 0)
        await assertLeft(store, [kept], [])
        assert.equal(await store.deleteAll(), 1)
      },
    )

    property(
      'what one process saves, another finds and ends, and both may clean up at once',
      async fixture => {
        const { store } = fixture
        const before = someRecord()
        await store.save(before)
        const second = await fixture.another()
        const after = someRecord()
        await store.save(after)
        await store.save(expired())
        assert.ok(await second.load(before.keyHash))
        assert.equal(await second.deleteBySid(before.sidHash!), 1)
        assert.equal(await second.deleteByUser(after.userHash), 1)
        await assertLeft(store, [], [before, after])
        const [one, two] = await Promise.all([store.cleanUp(), second.cleanUp()])
        assert.ok(one + two <= 1)
        await store.cleanUp()
        assert.equal(await store.deleteAll(), 0)
      },
    )

    property('preparing again, also several at once, changes nothing', async ({ store, another }) => {
      const record = someRecord()
      await store.save(record)
      await Promise.all([store.prepare(), store.prepare(), another(), another()])
      await assertLeft(store, [record], [])
      await store.check()
    })

    property('saving and ending many sessions at once loses none', async ({ store }) => {
      const sidHash = randomBytes(32)
      const records = Array.from({ length: 40 }, () => someRecord({ sidHash }))
      const others = Array.from({ length: 40 }, () => someRecord())
      await Promise.all([...records, ...others].map(record => store.save(record)))
      const counts = await Promise.all([1, 2, 3].map(() => store.deleteBySid(sidHash)))
      assert.equal(
        counts.reduce((sum, count) => sum + count, 0),
        40,
      )
      await assertLeft(store, others, records)
    })
  })
}

async function assertLeft(store: SessionStore, left: SessionRecord[], gone: SessionRecord[]): Promise<void> {
  const keys = [...left, ...gone].map(record => record.keyHash)
  assert.deepEqual(hexes(await store.live(keys)), hexes(left.map(record => record.keyHash)))
  for (const record of gone) assert.equal(await store.load(record.keyHash), null)
  for (const record of left) assert.ok(await store.load(record.keyHash))
}

function plain(record: SessionRecord | null): Record<string, unknown> | null {
  if (record === null) return null
  const { keyHash, clientId, sidHash, userHash, sealed, createdAt, expiresAt } = record
  return {
    clientId,
    ...{
      keyHash: keyHash.toString('hex'),
      sidHash: sidHash?.toString('hex'),
      userHash: userHash.toString('hex'),
    },
    ...{ sealed: sealed.toString('hex'), createdAt: createdAt.getTime(), expiresAt: expiresAt.getTime() },
  }
}

function hexes(keys: Buffer[]): string[] {
  return keys.map(key => key.toString('hex')).sort()
}
