// Sockets in great number: an event to eight thousand of them in four processes, and ten thousand outposts connected to one.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'
import type { PgTarget } from '../src/pg/target.ts'
import { createBackendWatch } from './backends.ts'
import { startBenchProcess } from './bench-process.ts'
import type { Bench, BenchContext } from './context.ts'
import { fanOutProcesses, startFanOut } from './fan-out.ts'
import { type Emit, judged, rounded } from './figure.ts'
import type { HubAbout } from './hub-process.ts'
import { launcherFlags } from './started-program.ts'

/** Of each process. */
const socketsEach = Number(process.env.POSTERN_BENCH_SOCKETS ?? 2000)
const paced = { perSecond: 4, count: 60 }
const groups = { members: 200 / fanOutProcesses, count: 3000, window: 256 }
const connected = 10_000
const atOnce = 32
const idleMs = 10_000

export const sockets: Bench = { name: 'sockets', run }

async function run({ postgres, emit }: BenchContext): Promise<void> {
  const { target } = await postgres({ migrated: true })
  await events(target, emit)
  const hub = await postgres({ migrated: true })
  await idle(hub.target, hub.adminTarget, emit)
}

async function events(target: PgTarget, emit: Emit): Promise<void> {
  const fan = await startFanOut({ target }, socketsEach)
  try {
    const { perSecond, count } = paced
    const all = { members: socketsEach, pace: { perSecond } }
    await fan.run({ ...all, count: 10 })
    const { p50, p99 } = await fan.run({ ...all, count })
    const note = `until the last of ${fanOutProcesses} × ${socketsEach} sockets, which this one process reads, has it`
    emit(judged({ name: 'sockets_event_p50', value: p50, unit: 'ms', goal: '<= 5', note }))
    emit(judged({ name: 'sockets_event_p99', value: p99, unit: 'ms', goal: '<= 20', note }))
    const one = await fan.run({ ...all, members: 1, count })
    const alone = `the same event to one socket of each process: p99 ${rounded(one.p99)} ms`
    emit({ name: 'sockets_event_alone_p50', value: rounded(one.p50), unit: 'ms', note: alone })
    const { members, window } = groups
    const group = await fan.run({ members, count: groups.count, pace: { window } })
    const value = group.perSecond
    emit(judged({ name: 'sockets_group_rate', value, unit: '1/s', goal: '>= 1000', note: '200 members' }))
  } finally {
    await fan.close()
  }
}

async function idle(target: PgTarget, admin: PgTarget, emit: Emit): Promise<void> {
  const watch = await createBackendWatch(admin)
  const args = { target }
  const hub = await startBenchProcess<HubAbout>('hub-process.ts', { args, flags: launcherFlags })
  const open: WebSocket[] = []
  try {
    const before = await hub.usage()
    const alone = await watch.during(() => sleep(1000))
    const opener = async () => {
      while (open.length < connected) open.push(await connect(hub.about))
    }
    const began = performance.now()
    await Promise.all(Array.from({ length: atOnce }, opener))
    const seconds = (performance.now() - began) / 1000
    await hub.usage()
    const quiet = await watch.during(() => sleep(idleMs))
    const { rss, busy } = await hub.usage()
    const living = open.filter(({ readyState }) => readyState === WebSocket.OPEN).length
    if (living < connected) throw new Error(`of ${connected} sockets ${living} are open`)
    const note = `${living} outposts, ${rounded(before.rss)} MiB without them; opened in ${rounded(seconds)} s; event loop ${busy.toFixed(3)} busy`
    emit(judged({ name: 'sockets_idle_rss', value: rss, unit: 'MiB', goal: '<= 600', note }))
    const used = Math.max(0, quiet.peak - alone.peak)
    const most = `${quiet.statements} statements in ${idleMs / 1000} s: ${quiet.most}`
    emit(judged({ name: 'sockets_idle_backends', value: used, unit: 'backends', goal: '<= 0', note: most }))
  } finally {
    for (const socket of open) socket.terminate()
    await hub.close()
    await watch.close()
  }
}

async function connect({ url, key }: HubAbout): Promise<WebSocket> {
  const socket = new WebSocket(`${url}?instance_uuid=${randomUUID()}`, {
    ...{ headers: { authorization: `Bearer ${key}` }, perMessageDeflate: false },
  })
  socket.on('error', () => {})
  await once(socket, 'open')
  return socket
}
