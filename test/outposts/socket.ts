// An outpost's end of the WebSocket, frame by frame.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import WebSocket from 'ws'
import { type Frame, instruction } from '../../src/wire/frames.ts'
import type { TestCore, TestOutpost } from './start-core.ts'

export interface TestSocket {
  instanceId: string
  frames: Frame[]
  ws: WebSocket
  /** code of the close frame, once it came */
  closed(): number | null
  /** SESSION_END frames' arguments */
  ends(): Record<string, unknown>[]
  /** TRIGGER_UPDATE frames' arguments */
  updates(): Record<string, unknown>[]
  acks(): number
  send(frame: Partial<Frame> | string): void
  /** @param more over what a Postern outpost says */
  hello(more?: Record<string, unknown>): void
  close(): Promise<void>
}

export const ours = { features: ['session_end.receipts'] }

/** Opens the WebSocket of an outpost; it ends with the test. */
export async function connect(
  t: TestContext,
  { origin }: TestCore,
  outpost: TestOutpost,
  options: { instanceId?: string; again?: boolean } = {},
): Promise<TestSocket> {
  const instanceId = options.instanceId ?? randomUUID()
  const url = new URL(`/ws/outpost/${outpost.id}/?instance_uuid=${instanceId}`, origin.replace('http', 'ws'))
  if (options.again === true) url.searchParams.set('attempt', '1')
  const ws = new WebSocket(url, { headers: { authorization: `Bearer ${outpost.key}` } })
  const frames: Frame[] = []
  let code: number | null = null
  ws.on('message', data => frames.push(JSON.parse(String(data))))
  ws.on('close', given => {
    code = given
  })
  await once(ws, 'open')
  ws.on('error', () => {})
  t.after(() => ws.terminate())
  const send = (frame: Partial<Frame> | string) =>
    ws.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
  const of = (wanted: number) => frames.filter(frame => frame.instruction === wanted)
  return {
    ...{ instanceId, frames, ws, send, closed: () => code },
    ends: () => of(instruction.sessionEnd).map(frame => frame.args),
    updates: () => of(instruction.triggerUpdate).map(frame => frame.args),
    acks: () => of(instruction.ack).length,
    hello: (more = {}) =>
      send({
        instruction: instruction.hello,
        args: {
          ...{ version: '1.2.3', buildHash: '', uuid: instanceId, golangVersion: 'go1.24', hostname: 'here' },
          ...{ opensslEnabled: true, opensslVersion: '3.5', fipsEnabled: false, ...more },
        },
      }),
    async close() {
      const gone = once(ws, 'close')
      ws.close(1000)
      await gone
    },
  }
}

/** The status a refused upgrade is answered with. */
export async function refusalOf(
  { origin }: TestCore,
  path: string,
  headers: Record<string, string> = {},
): Promise<number> {
  const ws = new WebSocket(origin.replace('http', 'ws') + path, { headers })
  return new Promise((resolve, reject) => {
    ws.on('open', () => {
      ws.terminate()
      reject(new Error('it was opened'))
    })
    ws.on('error', () => {})
    ws.on('unexpected-response', (_request, response) => {
      resolve(response.statusCode ?? 0)
      response.resume()
      ws.terminate()
    })
  })
}
