// An event to many sockets of four server processes, heard by our bus and by Redis Pub/Sub.
import { rm } from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import { type BenchProcess, startBenchProcess } from './bench-process.ts'
import type { FanOutArgs, FanOutRun } from './fan-out-process.ts'
import { temporaryFolder } from './left-over.ts'
import { launcherFlags } from './started-program.ts'

export interface FanOutResult {
  /** events a second, each counted when its last socket has it */
  perSecond: number
  /** ms from publishing until the last socket has it */
  p50: number
  p99: number
  count: number
  /** CPU seconds of the four processes together */
  cpu: number
}

export interface FanOut {
  run(run: FanOutRun): Promise<FanOutResult>
  close(): Promise<void>
}

export const fanOutProcesses = 4
/** Bytes an event has on a socket: number and time. */
export const eventBytes = 16

/** Starts the processes and opens the sockets, in this process. @param sockets of each process */
export async function startFanOut(by: FanOutArgs['by'], sockets: number): Promise<FanOut> {
  const folder = await temporaryFolder('fan')
  const started: BenchProcess<{ path: string }>[] = []
  for (let at = 0; at < fanOutProcesses; at++) {
    const args: FanOutArgs = { by, path: join(folder, `${at}.sock`) }
    started.push(await startBenchProcess('fan-out-process.ts', { args, flags: launcherFlags }))
  }
  let arrived = (_n: number, _at: number): void => {}
  const open: net.Socket[] = []
  for (const { about } of started)
    for (let at = 0; at < sockets; at++)
      open.push(await receiver(about.path, (n, published) => arrived(n, published)))
  const cpu = async () => (await Promise.all(started.map(one => one.usage()))).map(one => one.cpu)
  return {
    async run(run) {
      await cpu()
      const expected = fanOutProcesses * run.members
      const counts = new Uint32Array(run.count)
      const times: number[] = []
      const began = performance.now()
      const control = net.connect(started[0]?.about.path ?? '')
      const done = new Promise<void>((resolve, reject) => {
        control.on('error', reject)
        arrived = (n, at) => {
          const count = (counts[n] ?? 0) + 1
          counts[n] = count
          if (count < expected) return
          times.push(Number(process.hrtime.bigint()) / 1e6 - at)
          if (times.length === run.count) resolve()
          else control.write('.')
        }
      })
      control.write(`c${JSON.stringify(run)}`)
      await done
      const seconds = (performance.now() - began) / 1000
      control.destroy()
      times.sort((a, b) => a - b)
      const at = (share: number) => times[Math.floor(times.length * share)] ?? 0
      const used = (await cpu()).reduce((sum, one) => sum + one, 0)
      return {
        ...{ perSecond: run.count / seconds, p50: at(0.5), p99: at(0.99), count: run.count },
        cpu: used,
      }
    },
    async close() {
      for (const socket of open) socket.destroy()
      await Promise.all(started.map(one => one.close()))
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function receiver(path: string, arrived: (n: number, at: number) => void): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(path, () => {
      socket.write('s')
      resolve(socket)
    })
    socket.on('error', reject)
    let rest: Buffer = Buffer.alloc(0)
    socket.on('data', chunk => {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      let at = 0
      for (; at + eventBytes <= bytes.length; at += eventBytes)
        arrived(bytes.readUInt32LE(at), bytes.readDoubleLE(at + 8))
      rest = bytes.subarray(at)
    })
  })
}
