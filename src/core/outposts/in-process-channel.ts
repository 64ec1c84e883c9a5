// What the WebSocket is for other outposts: frames between the embedded outpost and the hub of its own process, HELLO every ten seconds.
import { errorText, type Log } from '../../log.ts'
import { type Frame, instruction, parseFrame } from '../../wire/frames.ts'
import type { LinkHandlers } from '../../wire/link.ts'
import type { Attached, Hub } from './hub.ts'

export interface Channel {
  /** @returns false while the outpost is not joined to the hub */
  send(frame: Frame): boolean
  close(): void
}

const helloMs = 10_000
const reconnectMinMs = 1000
const reconnectMaxMs = 15_000

type Joined = Omit<Parameters<Hub['attach']>[0], 'peer' | 'again'>

/** Joins the hub and stays joined: who is sent away comes back a second later. */
export function openChannel(options: {
  hub: Pick<Hub, 'attach'>
  handlers: LinkHandlers
  log: Log
  join: () => Promise<Joined>
}): Channel {
  const { hub, handlers, log, join } = options
  let attached: Attached | null = null
  let timer: NodeJS.Timeout | undefined
  let again = false
  let pauseMs = reconnectMinMs
  let closed = false
  void connect()

  async function connect(): Promise<void> {
    try {
      const given = await join()
      if (closed) return
      const own = hub.attach({
        ...given,
        again,
        peer: { send: deliver, backlog: () => 0, close: end, terminate: end },
      })
      attached = own
      again = true
      pauseMs = reconnectMinMs
      timer = setInterval(hello, helloMs)
      timer.unref()
      hello()
      told('onConnect', () => handlers.onConnect())
      function end(): void {
        if (attached !== own) return
        drop()
        told('onDisconnect', () => handlers.onDisconnect())
        retry()
      }
    } catch (error) {
      log.warning('the embedded outpost is not connected', { error: errorText(error) })
      retry()
    }
  }

  function drop(clean = false): void {
    const was = attached
    attached = null
    clearInterval(timer)
    was?.ended(clean)
  }

  function retry(): void {
    if (closed) return
    timer = setTimeout(() => void connect(), pauseMs)
    timer.unref()
    pauseMs = Math.min(pauseMs * 2, reconnectMaxMs)
  }

  /** Later, as over a socket: the hub is never re-entered from a handler. */
  function deliver(text: string): void {
    queueMicrotask(() => {
      const frame = parseFrame(text)
      if (closed || frame === null || frame.instruction === instruction.ack) return
      told('onFrame', () => handlers.onFrame(frame))
    })
  }

  function hello(): void {
    told('hello', () => send({ instruction: instruction.hello, args: { ...handlers.hello() } }))
  }

  function send(frame: Frame): boolean {
    if (attached === null) return false
    attached.receive(JSON.stringify(frame))
    return true
  }

  function told(what: string, call: () => void): void {
    try {
      call()
    } catch (error) {
      log.error('handling the embedded connection failed', { what, error: errorText(error) })
    }
  }

  return {
    send,
    close() {
      if (closed) return
      closed = true
      clearTimeout(timer)
      drop(true)
    },
  }
}
