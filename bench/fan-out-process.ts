// One of several server processes with many open sockets: hears of an event by our bus or by Redis Pub/Sub and writes it to each of its
// sockets, or to the members of a group. Only how it hears differs; what it does then is the same code.
import net from 'node:net'
import { createClient } from '@redis/client'
import type { PgTarget } from '../src/pg/target.ts'
import { serveBench } from './bench-process.ts'
import { eventBytes } from './fan-out.ts'
import { startPgNode } from './pg-node.ts'

export interface FanOutArgs {
  by: { target: PgTarget } | { redis: string }
  /** unix socket to listen on */
  path: string
}

/** What the first line of the controlling socket asks the publishing process to do. */
export interface FanOutRun {
  count: number
  /** sockets of each process that get it */
  members: number
  /** events under way at a time: the next goes when one has arrived everywhere; or so many a second, whatever has arrived */
  pace: { window: number } | { perSecond: number }
}

interface Event {
  n: number
  members: number
  /** ms of the machine's monotonic clock */
  at: number
}

/** First byte of the controlling socket; all other sockets send nothing. */
const control = 'c'

await serveBench<FanOutArgs, { path: string }>(async ({ by, path }) => {
  const sockets: net.Socket[] = []
  const pending = new Map<number, Buffer[]>()
  const deliver = ({ n, members, at }: Event) => {
    const frame = Buffer.alloc(eventBytes)
    frame.writeUInt32LE(n, 0)
    frame.writeDoubleLE(at, 8)
    // Events of one turn share a write per socket.
    if (pending.size === 0) setImmediate(flush)
    pending.set(members, [...(pending.get(members) ?? []), frame])
  }
  const flush = () => {
    for (const [members, frames] of pending) {
      const bytes = Buffer.concat(frames)
      for (const socket of sockets.slice(0, members)) socket.write(bytes)
    }
    pending.clear()
  }
  const channel = 'target' in by ? await ourBus(by.target, deliver) : await redisPubSub(by.redis, deliver)
  const server = net.createServer(socket => {
    socket.on('error', () => {}) // the receiver has gone
    socket.once('data', chunk => {
      if (chunk.toString('latin1', 0, 1) !== control) return void sockets.push(socket)
      publishFor(socket, JSON.parse(chunk.toString('utf8').slice(1)) as FanOutRun, channel.publish)
    })
  })
  await new Promise<void>(resolve => server.listen({ path, backlog: 4096 }, resolve))
  return {
    about: { path },
    async close() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await channel.close()
    },
  }
})

/** Publishes as asked; each byte that comes back is one event that has arrived everywhere. */
function publishFor(socket: net.Socket, run: FanOutRun, publish: (event: Event) => void): void {
  let n = 0
  const next = () => {
    if (n >= run.count) return
    publish({ n: n++, members: run.members, at: Number(process.hrtime.bigint()) / 1e6 })
  }
  const { pace } = run
  if ('window' in pace) {
    for (let open = 0; open < pace.window; open++) next()
    socket.on('data', chunk => {
      for (let at = 0; at < chunk.length; at++) next()
    })
    return
  }
  const began = performance.now()
  const timer = setInterval(() => {
    while (n < run.count && n < ((performance.now() - began) / 1000) * pace.perSecond) next()
    if (n >= run.count) clearInterval(timer)
  }, 2)
  socket.on('data', () => {})
}

async function ourBus(target: PgTarget, deliver: (event: Event) => void) {
  const node = await startPgNode(target, 'bench bus', 2)
  node.bus.subscribe('bench', ({ n, members, at }) =>
    deliver({ n: Number(n), members: Number(members), at: Number(at) }),
  )
  const listening = Promise.withResolvers<void>()
  node.bus.onResync(async () => listening.resolve())
  await listening.promise
  return {
    publish: ({ n, members, at }: Event) => node.bus.publish('bench', { n, members, at }),
    close: node.close,
  }
}

async function redisPubSub(path: string, deliver: (event: Event) => void) {
  const publisher = createClient({ socket: { path, tls: false } })
  const subscriber = publisher.duplicate()
  await Promise.all([publisher.connect(), subscriber.connect()])
  await subscriber.subscribe('bench', text => deliver(JSON.parse(text) as Event))
  return {
    publish: (event: Event) => void publisher.publish('bench', JSON.stringify(event)),
    async close() {
      publisher.destroy()
      subscriber.destroy()
    },
  }
}
