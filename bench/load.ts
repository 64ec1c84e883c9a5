// A load generator in a process of its own: keep-alive connections that each send the next request as soon as the answer is whole.
// It parses no more than it must, so that the server under test is what is measured. Entered by `runLoad`, which forks this file.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { fileURLToPath } from 'node:url'

export interface Load {
  /** connections take them in turn */
  ports: number[]
  /** whole requests, head and body; connections take them in turn */
  requests: string[]
  connections: number
  ms: number
  /** status every answer must have */
  status: number
}

export interface LoadResult {
  perSecond: number
  /** ms */
  p50: number
  p99: number
  requests: number
  /** share of the time in which the generator itself was busy: near 1 it would be what is measured */
  busy: number
}

export interface LoadGenerator {
  run(load: Load): Promise<LoadResult>
  close(): Promise<void>
}

const file = fileURLToPath(import.meta.url)

/** Starts the process; it is used for any number of runs. */
export function startLoadGenerator(): LoadGenerator {
  const child = fork(file, ['--child'], { execArgv: [] })
  return {
    run: load => ask(child, load),
    async close() {
      child.disconnect()
      if (child.exitCode === null) await once(child, 'exit')
    },
  }
}

async function ask(child: ChildProcess, load: Load): Promise<LoadResult> {
  const answer = once(child, 'message')
  child.send(load)
  const [result] = (await answer) as [LoadResult | { error: string }]
  if ('error' in result) throw new Error(result.error)
  return result
}

if (process.argv[2] === '--child')
  process.on('message', (load: Load) => {
    generate(load).then(
      result => process.send?.(result),
      (error: Error) => process.send?.({ error: error.message }),
    )
  })

async function generate(load: Load): Promise<LoadResult> {
  const requests = load.requests.map(text => Buffer.from(text, 'latin1'))
  const times: number[] = []
  const began = performance.now()
  const loop = performance.eventLoopUtilization()
  const until = began + load.ms
  const connections = Array.from({ length: load.connections }, (_, at) =>
    connection(load, requests, at, until, times),
  )
  await Promise.all(connections)
  const seconds = (performance.now() - began) / 1000
  times.sort((a, b) => a - b)
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0
  const busy = performance.eventLoopUtilization(loop).utilization
  return { perSecond: times.length / seconds, p50: at(0.5), p99: at(0.99), requests: times.length, busy }
}

function connection(
  { ports, status, connections }: Load,
  requests: Buffer[],
  first: number,
  until: number,
  times: number[],
): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port: ports[first % ports.length] ?? 0, host: '127.0.0.1', noDelay: true })
    const head = Buffer.from(`HTTP/1.1 ${status} `, 'latin1')
    let next = first
    let sentAt = 0
    let size = 0
    let gathered: Buffer | null = null
    const send = () => {
      sentAt = performance.now()
      socket.write(requests[next % requests.length] as Buffer)
      next += connections
    }
    socket.on('connect', send)
    socket.on('error', reject)
    socket.on('close', () => resolve())
    socket.on('data', chunk => {
      // Answers to equal requests have equal lengths as a rule, so the head is read again only when the length differs.
      const answer: Buffer = gathered === null ? chunk : Buffer.concat([gathered, chunk])
      if (answer.length !== size) {
        size = sizeOf(answer)
        if (size === 0 || answer.length < size) {
          gathered = answer
          return
        }
      }
      gathered = null
      if (answer.length > size) return void socket.destroy(new Error('more bytes than one answer has'))
      if (head.compare(answer, 0, head.length) !== 0)
        return void socket.destroy(new Error(`unexpected answer: ${answer.toString('latin1').slice(0, 300)}`))
      const now = performance.now()
      times.push(now - sentAt)
      if (now < until) send()
      else socket.end()
    })
  })
}

/** Length of the whole answer, 0 while its head is not there yet. */
function sizeOf(answer: Buffer): number {
  const end = answer.indexOf('\r\n\r\n')
  if (end === -1) return 0
  const head = answer.toString('latin1', 0, end)
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  if (length !== undefined) return end + 4 + Number(length)
  if (!/\r\ntransfer-encoding: *chunked/i.test(head)) return end + 4
  const last = answer.indexOf('\r\n0\r\n\r\n', end + 2)
  return last === -1 ? 0 : last + 7
}
