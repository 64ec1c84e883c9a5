import assert from 'node:assert/strict'
import { test } from 'node:test'
import { instruction } from '../../src/wire/frames.ts'
import { recordingOutpost, until } from './conformance.ts'
import { outpostId, someInstance, startFakeCore } from './fake-core.ts'
import { collect, linkTo } from './harness.ts'

test('a lost connection is made again, by one loop, with attempts counted and hello said again', async t => {
  const core = await startFakeCore(t)
  const link = linkTo(t, core)
  const outpost = recordingOutpost(0)
  link.open(await link.instance(), outpost.handlers)
  for (let count = 1; count <= 4; count++) {
    await until(() => outpost.connects === count && core.frames.length === count)
    assert.equal(core.sockets.size, 1)
    assert.equal(core.upgrades.length, count)
    assert.equal(
      new URL(core.upgrades.at(-1)!.url, core.url).searchParams.get('attempt'),
      count === 1 ? null : `${count - 1}`,
    )
    const [socket] = core.sockets
    if (count % 2 === 0) socket!.close(1012)
    else socket!.terminate()
    await until(() => outpost.disconnects === count)
    assert.equal(link.send({ instruction: 3, args: {} }), false)
  }
  assert.throws(() => link.open(someInstance() as never, outpost.handlers), /open already/)
})

test('Core may be away at the start and for long: the link tries for ever, with growing pauses', async t => {
  const core = await startFakeCore(t)
  core.refuseSockets = 503
  const { lines, log } = collect()
  const link = linkTo(t, core, { log })
  const outpost = recordingOutpost(0)
  link.open(await link.instance(), outpost.handlers)
  await until(() => core.upgrades.length >= 6)
  assert.equal(outpost.connects, 0)
  assert.equal(outpost.disconnects, 0, 'it never was connected')
  core.refuseSockets = null
  await until(() => outpost.connects === 1)
  const pauses = lines.filter(line => line.event === 'not connected to Core')
  assert.ok(pauses.length >= 5)
  for (const line of pauses) {
    assert.match(String(line.error), /Core answered 503/)
    assert.ok(Number(line.retry_in_seconds) <= 0.1)
  }
})

test('a refused token is retried after the longest pause, with a line that names the token', async t => {
  const core = await startFakeCore(t)
  core.refuseSockets = 403
  const { lines, log } = collect()
  const link = linkTo(t, core, { log, timeouts: { reconnectMinMs: 10, reconnectMaxMs: 300 } })
  const outpost = recordingOutpost(0)
  const instance = await link.instance()
  const openedAt = performance.now()
  link.open(instance, outpost.handlers)
  await until(() => core.upgrades.length === 2)
  assert.ok(performance.now() - openedAt >= 300)
  const line = lines.find(found => found.level === 'error')!
  assert.equal(line.event, 'Core refuses the connection: check AUTHENTIK_TOKEN')
  assert.equal(line.token_identifier, `ak-outpost-${outpostId}-api`)
  assert.equal(line.retry_in_seconds, 0.3)
  assert.equal(JSON.stringify(lines).includes('the-token'), false)
})

test('hello is said at once and then again and again; a Core that falls silent is left', async t => {
  const core = await startFakeCore(t)
  const link = linkTo(t, core, { timeouts: { helloMs: 20, silenceMs: 100 } })
  const outpost = recordingOutpost(0)
  link.open(await link.instance(), outpost.handlers)
  await until(() => core.frames.length >= 4)
  assert.equal(outpost.connects, 1)
  core.acknowledges = false
  await until(() => outpost.disconnects === 1)
  core.acknowledges = true
  await until(() => outpost.connects >= 2)
})

test('frames that are none and instructions nobody knows do no harm', async t => {
  const core = await startFakeCore(t)
  const link = linkTo(t, core)
  const outpost = recordingOutpost(0)
  link.open(await link.instance(), outpost.handlers)
  await until(() => outpost.connects === 1 && core.sockets.size === 1)
  for (const text of ['', 'x', '[]', '{"instruction":"2"}', '{"instruction":2,"args":[]}']) core.push(text)
  core.push({ instruction: 99, args: { new: true } })
  core.push({ instruction: instruction.providerSpecific, args: { sub_type: 'logout', session_id: 'a' } })
  await until(() => outpost.frames.length === 2)
  assert.deepEqual(
    outpost.frames.map(frame => frame.instruction),
    [99, 3],
  )
  assert.equal(outpost.connects, 1)
})

test('closing says goodbye with 1000 and ends every attempt to come back', async t => {
  const core = await startFakeCore(t)
  const link = linkTo(t, core)
  const outpost = recordingOutpost(0)
  link.open(await link.instance(), outpost.handlers)
  await until(() => outpost.connects === 1 && core.sockets.size === 1)
  const [socket] = core.sockets
  const code = new Promise(resolve => socket!.once('close', resolve))
  await link.close()
  assert.equal(await code, 1000)
  assert.throws(() => link.open(someInstance() as never, outpost.handlers), /closed/)

  core.refuseSockets = 503
  const waiting = linkTo(t, core)
  waiting.open(await waiting.instance(), outpost.handlers)
  const before = core.upgrades.length
  await until(() => core.upgrades.length > before)
  await waiting.close()
  const after = core.upgrades.length
  await new Promise(resolve => setTimeout(resolve, 100))
  assert.equal(core.upgrades.length, after)
})

test('a Core that does not read is not sent more than it can take', async t => {
  const core = await startFakeCore(t)
  const link = linkTo(t, core)
  const outpost = recordingOutpost(0)
  link.open(await link.instance(), outpost.handlers)
  await until(() => outpost.connects === 1 && core.sockets.size === 1)
  const [socket] = core.sockets
  socket!.pause()
  const frame = { instruction: instruction.providerSpecific, args: { text: 'x'.repeat(100_000) } }
  let sent = 0
  while (link.send(frame)) assert.ok(++sent < 100, 'the backlog grows without end')
  socket!.resume()
  await until(() => link.send({ instruction: 3, args: { last: true } }))
  await until(() => core.frames.some(found => found.args.last === true))
})
