import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { sha256 } from '../../src/core/secrets.ts'
import { newSessionKey, sidOf } from '../../src/core/sessions/cookie.ts'
import {
  endProviderAccess,
  endSessions,
  endUserAccess,
  endUsersAtProviders,
} from '../../src/core/sessions/revoke.ts'
import { insertSession } from '../../src/core/sessions/sessions.sql.ts'
import { sql } from '../../src/pg/db.ts'
import { instruction } from '../../src/wire/frames.ts'
import { eventually } from '../pg/eventually.ts'
import { connect, ours } from './socket.ts'
import { addOutpost, addPerson, startCore, type TestCore } from './start-core.ts'

async function addSession({ core: { db } }: TestCore, userId: number): Promise<string> {
  const id = randomUUID()
  await insertSession(db, {
    ...{ id, keyHash: newSessionKey().keyHash, userId, expiresAt: new Date(Date.now() + 60_000) },
    ...{ ip: '', userAgent: '', authMethod: 'password', authArgs: {}, authAt: new Date() },
  })
  return id
}

async function revocationCount({ core: { db } }: TestCore): Promise<number> {
  return (await db.first<{ n: number }>(sql`select count(*)::int as n from ${db.t('revocations')}`))!.n
}

/** Two processes of Core, an outpost of ours at each, and one of another make at the second. */
async function fleet(t: TestContext) {
  const one = await startCore(t)
  const two = await startCore(t, one.database)
  const edge = await addOutpost(one, 'edge')
  const other = await addOutpost(one, 'other')
  const near = await connect(t, one, edge)
  const far = await connect(t, two, other)
  const stock = await connect(t, two, edge)
  near.hello({ ...ours, revision: 99, last_revocation: 0 })
  far.hello({ ...ours, revision: 99, last_revocation: 0 })
  stock.hello()
  await eventually(() => [near, far, stock].every(socket => socket.acks() === 1))
  await eventually(() => [...one.hub.links(), ...two.hub.links()].every(link => link.greeted))
  const person = await addPerson(one, 'person')
  return { one, two, edge, near, far, stock, person }
}

test('the end of a session reaches every outpost at every process, with one read per process', async t => {
  const { one, near, far, stock, person } = await fleet(t)
  const { db, bus } = one.core
  const ids = [await addSession(one, person.id), await addSession(one, person.id)]
  const statements = await one.database.countStatements(async () => {
    await db.transaction(tx => endSessions(tx, bus, ids))
    await eventually(() => [near, far, stock].every(socket => socket.ends().length === 2))
  })
  const reads = statements.filter(text => /^\s*select id, .*session_id.* from .*revocations/s.test(text))
  assert.equal(reads.length, 2, statements.join('\n'))
  for (const socket of [near, far, stock]) {
    const ends = socket.ends()
    assert.deepEqual(ends.map(args => args.session_id).toSorted(), ids.map(sidOf).toSorted())
    assert.ok(
      ends.every(
        args => args.type === 'event.session.end' && typeof args.id === 'number' && !('user' in args),
      ),
    )
  }
})

test('the end of everything of a user names the user, to outposts that know what that means', async t => {
  const { one, near, far, stock, person } = await fleet(t)
  const { db, bus } = one.core
  await db.transaction(tx => endUserAccess(tx, bus, person))
  const id = await addSession(one, person.id)
  await db.transaction(tx => endSessions(tx, bus, [id]))
  await eventually(() =>
    [near, far, stock].every(socket => socket.ends().some(end => end.session_id === sidOf(id))),
  )
  await eventually(() => [near, far].every(socket => socket.ends().length === 2))
  for (const socket of [near, far]) {
    assert.equal(socket.ends().length, 2)
    assert.deepEqual([socket.ends()[0]?.session_id, socket.ends()[0]?.user], ['', person.uid])
  }
  assert.equal(stock.ends().length, 1, 'an empty session id would end sessions of others there')
})

test('the end of a provider, and of a user at one, is told as such and has receipts', async t => {
  const { one, near, far, stock, person } = await fleet(t)
  const { db, bus } = one.core
  const whole = await db.transaction(tx => endProviderAccess(tx, bus, 'client-gone'))
  const holding = { userId: person.id, userUid: person.uid, providerId: 0, clientId: 'client-kept' }
  const [part] = await db.transaction(tx => endUsersAtProviders(tx, bus, [holding]))
  await eventually(() => [near, far].every(socket => socket.ends().length === 2))
  for (const socket of [near, far])
    assert.deepEqual(
      socket.ends().map(({ id, session_id, user, client_id }) => [id, session_id, user, client_id]),
      [
        [whole.id, '', undefined, 'client-gone'],
        [part!.id, '', person.uid, 'client-kept'],
      ],
    )
  for (const socket of [near, far])
    for (const { id } of socket.ends())
      socket.send({
        instruction: instruction.providerSpecific,
        args: { sub_type: 'session_end.applied', id, ms: 2 },
      })
  await eventually(async () => {
    const rows = await db.rows(sql`select 1 from ${db.t('revocation_receipts')} where ms = 2`)
    return rows.length === 4
  })
  assert.deepEqual(stock.ends(), [], 'one that knows neither key hears nothing')
})

test('receipts are stored once each, for revocations that exist', async t => {
  const { one, near, far, edge, person } = await fleet(t)
  const { db, bus } = one.core
  const session = await addSession(one, person.id)
  const [revocation] = await db.transaction(tx => endSessions(tx, bus, [session]))
  await eventually(() => near.ends().length === 1 && far.ends().length === 1)
  const receipt = (args: object) => ({
    instruction: instruction.providerSpecific,
    args: { sub_type: 'session_end.applied', id: revocation!.id, ms: 3.4, ...args },
  })
  for (const bad of [{ id: 'x' }, { id: -1 }, { ms: -1 }, { ms: 'fast' }, { id: 1e18 }, { id: 999_999 }])
    near.send(receipt(bad))
  near.send(receipt({}))
  near.send(receipt({ ms: 9 }))
  far.send(receipt({ ms: 0 }))
  const rows = () =>
    db.rows<{ outpost_id: string; instance_id: string; ms: number }>(sql`
      select outpost_id, instance_id, ms from ${db.t('revocation_receipts')} order by ms`)
  await eventually(async () => (await rows()).length === 2)
  assert.deepEqual((await rows())[1], { outpost_id: edge.id, instance_id: near.instanceId, ms: 3 })
})

test('an outpost that was away is sent what it missed of the last day, in order', async t => {
  const core = await startCore(t)
  const { db, bus } = core.core
  const edge = await addOutpost(core, 'edge')
  const person = await addPerson(core, 'person')
  const sids: string[] = []
  for (let at = 0; at < 4; at++) {
    const id = await addSession(core, person.id)
    await db.transaction(tx => endSessions(tx, bus, [id]))
    sids.push(sidOf(id))
  }
  await db.count(sql`update ${db.t('revocations')} set created_at = now() - interval '1 minute'`)
  const rows = await db.rows<{ id: string }>(sql`select id from ${db.t('revocations')} order by id`)
  await db.count(sql`
    update ${db.t('revocations')} set created_at = now() - interval '25 hours' where id = ${rows[1]!.id}`)
  const back = await connect(t, core, edge)
  back.hello({ ...ours, revision: 99, last_revocation: Number(rows[0]!.id) })
  await eventually(() => back.ends().length === 2)
  assert.deepEqual(
    back.ends().map(args => args.session_id),
    [sids[2], sids[3]],
  )
  back.hello({ ...ours, revision: 99, last_revocation: Number(rows[0]!.id) })
  const current = await connect(t, core, edge)
  current.hello({ ...ours, revision: 99, last_revocation: Number(rows[3]!.id) })
  const stock = await connect(t, core, edge)
  stock.hello()
  await eventually(() => [...core.hub.links()].every(link => link.greeted) && back.acks() === 2)
  assert.deepEqual([back.ends().length, current.ends().length, stock.ends().length], [2, 0, 0])
})

test('what became visible only after a higher number was known is sent too', async t => {
  const core = await startCore(t)
  const { db } = core.core
  const edge = await addOutpost(core, 'edge')
  await db.count(sql`insert into ${db.t('revocations')} (session_id) values (${'ab'.repeat(32)})`)
  const back = await connect(t, core, edge)
  back.hello({ ...ours, revision: 99, last_revocation: 1000 })
  await eventually(() => back.ends().length === 1)
})

test('a long replay comes in pages and whole', async t => {
  const core = await startCore(t)
  const { db } = core.core
  const edge = await addOutpost(core, 'edge')
  await db.count(sql`
    insert into ${db.t('revocations')} (session_id) select encode(sha256(n::text::bytea), 'hex') from generate_series(1, 1700) n`)
  const back = await connect(t, core, edge)
  back.hello({ ...ours, revision: 99, last_revocation: 0 })
  await eventually(() => back.ends().length === 1700)
  const ids = back.ends().map(args => Number(args.id))
  assert.deepEqual(
    ids,
    ids.toSorted((a, b) => a - b),
  )
})

test('what the bus lost is sent by the next resync, and not again what was sent', async t => {
  const { one, two, far, person } = await fleet(t)
  const { db, bus } = one.core
  const heard = await addSession(one, person.id)
  await db.transaction(tx => endSessions(tx, bus, [heard]))
  await eventually(() => far.ends().length === 1)
  const sid = 'ab'.repeat(32)
  await db.count(sql`insert into ${db.t('revocations')} (session_id) values (${sid})`)
  // A new direct connection is what a process has after a failover: it compares with the tables.
  const admin = one.database.adminTarget()
  const { openConnection } = await import('../../src/pg/client.ts')
  const { client } = await openConnection(admin, { applicationName: 'killer' })
  await client.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name like '%direct'`,
  )
  await client.end()
  await eventually(() => far.ends().some(end => end.session_id === sid))
  assert.equal(far.ends().length, 2)
  assert.ok(two.core.bus.healthy())
})

test('a sign-out at one outpost ends the sessions of that login at all, and leaves the one of Core', async t => {
  const { one, near, far, stock, person } = await fleet(t)
  const { db } = one.core
  const session = await addSession(one, person.id)
  const sid = sidOf(session)
  const addProxySession = (of: string) =>
    db.count(sql`
      insert into ${db.t('proxy_sessions')} (key_hash, client_id, sid_hash, user_hash, sealed, created_at, expires_at)
      values (${sha256(randomUUID())}, 'c', ${sha256(of)}, ${sha256('u')}, 'x', now(), now() + interval '1 hour')`)
  await addProxySession(sid)
  await addProxySession('another')
  const logout = (session_id: unknown) =>
    near.send({ instruction: 3, args: { sub_type: 'logout', session_id } })
  for (const bad of ['', 'short', `${sid}0`, 5, null]) logout(bad)
  logout(sid)
  await eventually(() =>
    [near, far, stock].every(socket => socket.ends().some(end => end.session_id === sid)),
  )
  assert.equal((await db.rows(sql`select 1 from ${db.t('proxy_sessions')}`)).length, 1)
  assert.equal((await db.rows(sql`select 1 from ${db.t('sessions')} where id = ${session}`)).length, 1)
  assert.equal(await revocationCount(one), 1)
})
