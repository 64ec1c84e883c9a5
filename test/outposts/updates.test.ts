import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ensureEmbeddedOutpost } from '../../src/core/outposts/account.ts'
import { type ChangedFor, outpostsChanged, outpostUpdateMessage } from '../../src/core/outposts/changed.ts'
import { sql } from '../../src/pg/db.ts'
import { selfSigned } from '../link/certificate.ts'
import { eventually } from '../pg/eventually.ts'
import { connect, ours } from './socket.ts'
import { addCertificate, addOutpost, addProxyProvider, startCore } from './start-core.ts'

test('a change reaches the links of its outpost in every process, once for many changes', async t => {
  const one = await startCore(t)
  const two = await startCore(t, one.database)
  const { db } = one.core
  const edge = await addOutpost(one, 'edge')
  const other = await addOutpost(one, 'other')
  const near = await connect(t, one, edge)
  const far = await connect(t, two, edge)
  const stranger = await connect(t, two, other)
  for (const socket of [near, far, stranger]) socket.hello({ ...ours, revision: 99, last_revocation: 0 })
  await eventually(() => [near, far, stranger].every(socket => socket.acks() === 1))
  const started = performance.now()
  for (let change = 0; change < 20; change++)
    await db.transaction(tx => outpostsChanged(tx, one.core, { outposts: [edge.id] }))
  const revisionOf = async ({ id }: { id: string }) =>
    Number(
      (await db.first<{ revision: string }>(sql`select revision from ${db.t('outposts')} where id = ${id}`))!
        .revision,
    )
  const revision = await revisionOf(edge)
  const last = (updates: Record<string, unknown>[]) => updates.at(-1)?.revision
  await eventually(() => last(near.updates()) === revision && last(far.updates()) === revision)
  // Changes gather for a quarter of a second.
  const rings = 2 + (performance.now() - started) / 250
  assert.ok(near.updates().length <= rings && far.updates().length <= rings, 'changes share a ring')
  // It may still be told of its own making.
  const own = await revisionOf(other)
  assert.ok(own < revision && stranger.updates().every(update => Number(update.revision) <= own))
})

test('each kind of change concerns the outposts that are told of it, and many at once do not deadlock', async t => {
  const core = await startCore(t)
  const { db } = core.core
  const certificate = await addCertificate(core, 'pair', await selfSigned())
  const [plain, certified] = [
    await addProxyProvider(core, 'plain'),
    await addProxyProvider(core, 'certified', { certificate }),
  ]
  const a = await addOutpost(core, 'a', [plain, certified])
  const b = await addOutpost(core, 'b', [certified])
  const c = await addOutpost(core, 'c', [plain])
  const change = (of: ChangedFor) => db.transaction(tx => outpostsChanged(tx, core.core, of))
  const changed = async (of: ChangedFor) => (await change(of)).toSorted()
  assert.deepEqual(await changed({ providers: [plain] }), [a.id, c.id].toSorted())
  assert.deepEqual(await changed({ certificate }), [a.id, b.id].toSorted())
  assert.deepEqual(await changed({ outposts: [c.id] }), [c.id])
  assert.deepEqual(await changed('all'), [a.id, b.id, c.id].toSorted())
  const embedded = await db.transaction(tx => ensureEmbeddedOutpost(tx, core.core))
  await db.count(sql`insert into ${db.t('brands')} (domain, web_certificate_id) values ('x', ${certificate})`)
  assert.deepEqual(await changed({ certificate }), [a.id, b.id, embedded].toSorted())

  const sum = async () =>
    Number((await db.first<{ n: string }>(sql`select sum(revision) as n from ${db.t('outposts')}`))?.n)
  const before = await sum()
  const kinds: ChangedFor[] = [
    'all',
    { providers: [certified, plain] },
    { certificate },
    { outposts: [c.id, b.id, a.id] },
  ]
  await Promise.all(Array.from({ length: 10 }, () => kinds.map(change)).flat())
  assert.equal(await sum(), before + 10 * (4 + 3 + 3 + 3))
})

test('a change that is rolled back rings nobody', async t => {
  const core = await startCore(t)
  const { db } = core.core
  const edge = await addOutpost(core, 'edge')
  const beside = await startCore(t, core.database)
  const rings: unknown[] = []
  for (const { bus } of [core.core, beside.core])
    t.after(bus.subscribe(outpostUpdateMessage, body => rings.push(body)))
  const failing = db.transaction(async tx => {
    await outpostsChanged(tx, core.core, { outposts: [edge.id] })
    throw new Error('rolled back')
  })
  await assert.rejects(failing, /rolled back/)
  await db.transaction(tx => outpostsChanged(tx, core.core, { outposts: [edge.id] }))
  await eventually(() => rings.length === 2)
  assert.deepEqual(rings, [
    { outpost: edge.id, revision: 3 },
    { outpost: edge.id, revision: 3 },
  ])
})

test('a process that states an older revision is told to update, one that states none only when it comes back', async t => {
  const core = await startCore(t)
  const { db } = core.core
  const edge = await addOutpost(core, 'edge')
  await db.count(sql`update ${db.t('outposts')} set revision = 7`)
  const behind = await connect(t, core, edge)
  behind.hello({ ...ours, revision: 6, last_revocation: 0 })
  const current = await connect(t, core, edge)
  current.hello({ ...ours, revision: 7, last_revocation: 0 })
  const fresh = await connect(t, core, edge)
  fresh.hello()
  const back = await connect(t, core, edge, { again: true })
  back.hello()
  await eventually(() => behind.updates().length === 1 && back.updates().length === 1)
  await eventually(() => [...core.hub.links()].every(link => link.greeted))
  assert.deepEqual(behind.updates(), [{ revision: 7 }])
  assert.deepEqual(current.updates(), [])
  assert.deepEqual(fresh.updates(), [])
  behind.hello({ ...ours, revision: 6, last_revocation: 0 })
  await eventually(() => behind.acks() === 2)
  assert.equal(behind.updates().length, 1, 'it was told already')
})
