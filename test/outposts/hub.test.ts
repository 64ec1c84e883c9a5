import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { deleteOutpost } from '../../src/core/outposts/account.ts'
import { createHub } from '../../src/core/outposts/hub.ts'
import { registerHubMetrics } from '../../src/core/outposts/hub-metrics.ts'
import { sha256 } from '../../src/core/secrets.ts'
import { sql } from '../../src/pg/db.ts'
import { eventually } from '../pg/eventually.ts'
import { connect, ours, refusalOf } from './socket.ts'
import { addOutpost, addPerson, startCore, type TestCore } from './start-core.ts'

interface InstanceRow {
  instance_id: string
  hello: Record<string, unknown>
  revision: string
  last_revocation: string
  receipts: boolean
  left: number
}

async function instances({ core: { db } }: TestCore): Promise<InstanceRow[]> {
  return db.rows<InstanceRow>(sql`
    select instance_id, hello, revision, last_revocation, receipts, extract(epoch from expires_at - now())::float8 as left
    from ${db.t('outpost_instances')} order by instance_id`)
}

async function instance(core: TestCore): Promise<InstanceRow> {
  await eventually(async () => (await instances(core)).length === 1)
  return (await instances(core))[0]!
}

test('only a good bearer that sees the outpost gets a connection, and one line a minute is written about others', async t => {
  const core = await startCore(t)
  const { db } = core.core
  const mine = await addOutpost(core, 'mine')
  const other = await addOutpost(core, 'other')
  const person = await addPerson(core, 'person')
  const path = `/ws/outpost/${mine.id}/`
  const bearer = (key: string) => ({ authorization: `Bearer ${key}` })
  assert.equal(await refusalOf(core, path), 403)
  assert.equal(await refusalOf(core, path, bearer('wrong')), 403)
  assert.equal(await refusalOf(core, path, { authorization: `Basic ${mine.key}` }), 403)
  assert.equal(await refusalOf(core, path, { authorization: 'Bearer ' }), 403)
  assert.equal(await refusalOf(core, path, bearer('a test key that is long enough for it')), 403)
  assert.equal(await refusalOf(core, path, bearer(other.key)), 403)
  assert.equal(await refusalOf(core, path, bearer(person.key)), 403)
  assert.equal(await refusalOf(core, `/ws/outpost/${randomUUID()}/`, bearer(mine.key)), 403)
  const refused = () => core.lines.filter(line => line.event === 'connection of an outpost refused')
  assert.equal(refused().length, 1)
  assert.ok(!JSON.stringify(core.lines).includes(other.key))
  for (const wrong of [`/ws/outpost/${mine.id}`, '/ws/outpost/x/', `${path}more`, '/ws/'])
    assert.equal(await refusalOf(core, wrong, bearer(mine.key)), 404, wrong)
  const socket = await connect(t, core, mine)
  assert.equal([...core.hub.links()].length, 1)
  await socket.close()
  await db.count(sql`update ${db.t('users')} set is_active = false`)
  assert.equal(await refusalOf(core, path, bearer(mine.key)), 403)
})

test('HELLO is one statement, keeps the process alive for 15 seconds, and is acknowledged', async t => {
  const core = await startCore(t)
  const outpost = await addOutpost(core, 'edge')
  const socket = await connect(t, core, outpost)
  const statements = await core.database.countStatements(async () => {
    socket.hello({ ...ours, revision: 1, last_revocation: 0, extra: { deep: 1 } })
    await eventually(async () => socket.acks() === 1 && [...core.hub.links()][0]?.greeted === true)
  })
  const counted = statements.filter(text => !text.includes('nodes'))
  assert.equal(counted.length, 1, counted.join('\n'))
  const row = await instance(core)
  assert.equal(row.instance_id, socket.instanceId)
  assert.deepEqual(
    [row.hello.hostname, row.hello.golangVersion, row.hello.extra],
    ['here', 'go1.24', { deep: 1 }],
  )
  assert.deepEqual([row.revision, row.last_revocation, row.receipts], ['1', '0', true])
  assert.ok(row.left > 10 && row.left <= 15, `${row.left}`)
  assert.deepEqual(socket.frames[0], { instruction: 0, args: {} })
})

test('an ACK is not answered, an unknown instruction is, and what is no frame ends the connection with 1003', async t => {
  const core = await startCore(t)
  const outpost = await addOutpost(core, 'edge')
  const socket = await connect(t, core, outpost)
  socket.send({ instruction: 0, args: {} })
  socket.send({ instruction: 77 })
  socket.send({ instruction: 3, args: { sub_type: 'something else' } })
  await eventually(() => socket.acks() === 2)
  assert.equal(socket.frames.length, 2)
  for (const bad of [
    'nonsense',
    '[]',
    '{"instruction":"1"}',
    '{"args":{}}',
    '{"instruction":1,"args":{"a":"\\u0000"}}',
  ]) {
    const another = await connect(t, core, outpost)
    another.send(bad)
    await eventually(() => another.closed() !== null)
    assert.equal(another.closed(), 1003, bad)
  }
  const binary = await connect(t, core, outpost)
  binary.ws.send(Buffer.from('{"instruction":1}'))
  await eventually(() => binary.closed() !== null)
  assert.equal(binary.closed(), 1003)
  assert.deepEqual(await instances(core), [])
  assert.equal(socket.closed(), null)
})

test('a goodbye removes the process from health at once, a lost connection lets it run out', async t => {
  const core = await startCore(t)
  const outpost = await addOutpost(core, 'edge')
  const polite = await connect(t, core, outpost, { instanceId: 'polite' })
  const rude = await connect(t, core, outpost, { instanceId: 'rude' })
  polite.hello()
  rude.hello()
  await eventually(async () => (await instances(core)).length === 2)
  await polite.close()
  rude.ws.terminate()
  await eventually(async () => (await instances(core)).length === 1 && [...core.hub.links()].length === 0)
  assert.equal((await instance(core)).instance_id, 'rude')
})

test('the goodbye of an old connection does not remove a process that has connected again', async t => {
  const core = await startCore(t)
  const outpost = await addOutpost(core, 'edge')
  const before = await connect(t, core, outpost, { instanceId: 'same' })
  before.hello()
  await instance(core)
  const after = await connect(t, core, outpost, { instanceId: 'same' })
  after.hello({ hostname: 'there' })
  await eventually(async () => (await instance(core)).hello.hostname === 'there')
  await before.close()
  await eventually(() => [...core.hub.links()].length === 1)
  after.hello({ hostname: 'still there' })
  await eventually(async () => (await instance(core)).hello.hostname === 'still there')
})

test('a link ends when its outpost is deleted, its token replaced or its account deactivated', async t => {
  const core = await startCore(t)
  const { db } = core.core
  const deleted = await addOutpost(core, 'deleted')
  const socket = await connect(t, core, deleted)
  socket.hello()
  await instance(core)
  await db.transaction(tx => deleteOutpost(tx, core.core, deleted.id))
  await eventually(() => socket.closed() !== null)
  assert.equal(socket.closed(), 1008)

  const kept = await addOutpost(core, 'kept')
  const rotated = await connect(t, core, kept)
  rotated.hello()
  await eventually(() => rotated.acks() === 1)
  await db.count(sql`update ${db.t('tokens')} set key_hash = ${sha256('another')}`)
  rotated.hello()
  await eventually(() => rotated.closed() !== null)
  assert.equal(rotated.closed(), 1008)
  await db.count(sql`update ${db.t('tokens')} set key_hash = ${sha256(kept.key)}`)
  const inactive = await connect(t, core, kept)
  await db.count(sql`update ${db.t('users')} set is_active = false`)
  inactive.hello()
  await eventually(() => inactive.closed() !== null)
  assert.equal(inactive.closed(), 1008)
})

test('a process of Core that stops says so with 1012, and leaves the rows of its outposts to the next', async t => {
  const core = await startCore(t)
  const edge = await addOutpost(core, 'edge')
  const beside = await startCore(t, core.database)
  const socket = await connect(t, beside, edge)
  socket.hello()
  await instance(core)
  await beside.close()
  await eventually(() => socket.closed() !== null)
  assert.equal(socket.closed(), 1012)
  assert.equal((await instances(core)).length, 1)
})

test('a connection that has gone silent, or does not read any more, is cut', async t => {
  const core = await startCore(t)
  const edge = await addOutpost(core, 'edge')
  const hub = createHub(core.core, { silenceMs: 50, sweepMs: 10 })
  t.after(() => hub.close())
  const cut: string[] = []
  const join = (instanceId: string, backlog: number) => {
    const attached = hub.attach({
      ...{
        outpostId: edge.id,
        outpostName: 'edge',
        expected: 1,
        instanceId,
        bearerHash: null,
        userId: 1,
        again: false,
      },
      peer: {
        ...{ send() {}, backlog: () => backlog, close() {} },
        terminate() {
          cut.push(instanceId)
          attached.ended(false)
        },
      },
    })
    return attached
  }
  join('full', 100 * 1024 * 1024).receive('{"instruction":9}')
  assert.deepEqual(cut, ['full'])
  join('silent', 0)
  await eventually(() => cut.includes('silent'))
})

test('a thousand idle connections cost no statement and no timer each', async t => {
  const core = await startCore(t)
  const edge = await addOutpost(core, 'edge')
  const count = 1000
  const attached = Array.from({ length: count }, (_, at) =>
    core.hub.attach({
      ...{
        outpostId: edge.id,
        outpostName: 'edge',
        expected: 1,
        instanceId: `i${at}`,
        bearerHash: null,
        userId: 1,
      },
      ...{ again: false, peer: { send() {}, backlog: () => 0, close() {}, terminate() {} } },
    }),
  )
  const timers = process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  assert.ok(timers < 50, `${timers} timers`)
  const statements = await core.database.countStatements(async () => {
    for (const link of attached) link.receive('{"instruction":0}')
  })
  assert.deepEqual(
    statements.filter(text => !text.includes('nodes')),
    [],
  )
  for (const link of attached) link.ended(false)
  assert.equal([...core.hub.links()].length, 0)
})

test('metrics name each connected process with the time of its last frame', async t => {
  const core = await startCore(t)
  const edge = await addOutpost(core, 'edge', [], { config: { kubernetes_replicas: 3 } })
  const registry = new Registry()
  registerHubMetrics({ registry, hub: core.hub, tenant: 'public' })
  const socket = await connect(t, core, edge, { instanceId: 'one' })
  socket.hello()
  await eventually(() => socket.acks() === 1)
  const text = await registry.metrics()
  assert.match(
    text,
    /authentik_outposts_connected\{tenant="public",outpost="edge",uid="one",expected="3"\} 1\n/,
  )
  const [, seconds] =
    /authentik_outposts_last_update\{tenant="public",outpost="edge",uid="one",version="1.2.3"\} (\d+)\n/.exec(
      text,
    ) ?? []
  assert.ok(Math.abs(Number(seconds) - Date.now() / 1000) < 5, text)
  await socket.close()
  await eventually(() => [...core.hub.links()].length === 0)
  assert.doesNotMatch(await registry.metrics(), /uid="one"/)
})
