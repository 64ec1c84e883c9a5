// The WebSocket to Core over which changes and ended sessions arrive. It is one loop: connect, say hello every 10 s, and
// when the connection ends for whatever reason, wait and connect again, for ever.
import WebSocket from 'ws'
import { errorText, type Log } from '../log.ts'
import { type Frame, instruction, parseFrame } from '../wire/frames.ts'
import type { LinkHandlers } from '../wire/link.ts'
import { underBase } from './core-api.ts'

export interface PushTimeouts {
  handshakeMs: number
  /** between two HELLOs */
  helloMs: number
  /** without any frame, not even an ACK, the connection counts as dead */
  silenceMs: number
  reconnectMinMs: number
  reconnectMaxMs: number
}

export interface PushChannel {
  /** @returns false when the connection is down or too far behind, and the frame was dropped */
  send(frame: Frame): boolean
  close(): Promise<void>
}

const frameMax = 1024 * 1024
/** What Core has not taken yet; beyond it frames are dropped, since Core asks again for what it misses. */
const backlogMax = 1024 * 1024
const closeGraceMs = 2_000

/** Opens the channel and keeps it open until `close`. */
export function openPushChannel(options: {
  coreUrl: URL
  outpostId: string
  instanceId: string
  token: string
  insecure: boolean
  userAgent: string
  timeouts: PushTimeouts
  handlers: LinkHandlers
  log: Log
}): PushChannel {
  const { coreUrl, outpostId, instanceId, token, insecure, userAgent, timeouts, handlers, log } = options
  let socket: WebSocket | null = null
  let next: NodeJS.Timeout | null = null
  let attempt = 0
  /** failures in a row; a connection that lasted starts it anew */
  let failures = 0
  let closed = false

  connect()

  function connect(): void {
    next = null
    const connecting = new WebSocket(channelUrl(coreUrl, outpostId, instanceId, attempt), {
      headers: { authorization: `Bearer ${token}`, 'user-agent': userAgent },
      handshakeTimeout: timeouts.handshakeMs,
      rejectUnauthorized: !insecure,
      maxPayload: frameMax,
      perMessageDeflate: false,
      followRedirects: false,
    })
    socket = connecting
    run(connecting)
  }

  /** One connection, from its first byte to its last. */
  function run(ws: WebSocket): void {
    let openedAt: number | null = null
    let lastFrameAt = 0
    let beat: NodeJS.Timeout | null = null
    let refusal: number | null = null
    let cause = ''

    ws.on('open', () => {
      openedAt = lastFrameAt = performance.now()
      log.info('connected to Core', { attempt })
      beat = setInterval(() => {
        if (performance.now() - lastFrameAt > timeouts.silenceMs) {
          cause = 'Core is silent'
          ws.terminate()
        } else hello()
      }, timeouts.helloMs)
      beat.unref()
      hello()
      told('onConnect', () => handlers.onConnect())
    })
    ws.on('message', (data, isBinary) => {
      if (closed) return
      lastFrameAt = performance.now()
      const frame = isBinary ? null : parseFrame(String(data))
      if (frame === null) log.warning('Core sent a frame that is none')
      else if (frame.instruction !== instruction.ack) told('onFrame', () => handlers.onFrame(frame))
    })
    ws.on('unexpected-response', (request, response) => {
      refusal = response.statusCode ?? 0
      cause = `Core answered ${refusal}`
      response.resume()
      request.destroy()
      ws.terminate()
    })
    ws.on('error', error => {
      cause ||= errorText(error)
    })
    ws.on('close', code => {
      if (beat !== null) clearInterval(beat)
      if (socket === ws) socket = null
      if (openedAt !== null) told('onDisconnect', () => handlers.onDisconnect())
      if (closed) return
      if (openedAt !== null && performance.now() - openedAt >= timeouts.helloMs) failures = 0
      const waitMs = code === restart ? soon() : delay(refusal)
      failures++
      attempt++
      report(refusal, cause || `closed with ${code}`, waitMs)
      next = setTimeout(connect, waitMs)
    })
  }

  function hello(): void {
    told('hello', () => send({ instruction: instruction.hello, args: { ...handlers.hello() } }))
  }

  function send(frame: Frame): boolean {
    if (socket === null || socket.readyState !== WebSocket.OPEN || socket.bufferedAmount > backlogMax)
      return false
    socket.send(JSON.stringify({ instruction: frame.instruction, args: frame.args }))
    return true
  }

  /** Core restarts on purpose and is back at once; the jitter keeps its outposts from coming all together. */
  function soon(): number {
    return timeouts.reconnectMinMs * (1 + Math.random())
  }

  function delay(refusal: number | null): number {
    if (refusal === 401 || refusal === 403) return timeouts.reconnectMaxMs
    const longest = Math.min(
      timeouts.reconnectMaxMs,
      timeouts.reconnectMinMs * 2 ** Math.min(failures + 1, 16),
    )
    return timeouts.reconnectMinMs + Math.random() * (longest - timeouts.reconnectMinMs)
  }

  function report(refusal: number | null, error: string, waitMs: number): void {
    const fields = { error, attempt, retry_in_seconds: Math.round(waitMs / 100) / 10 }
    if (refusal === 401 || refusal === 403)
      log.error('Core refuses the connection: check AUTHENTIK_TOKEN', {
        ...fields,
        token_identifier: `ak-outpost-${outpostId}-api`,
      })
    else log.warning('not connected to Core', fields)
  }

  function told(what: string, call: () => void): void {
    try {
      call()
    } catch (error) {
      log.error('handling the connection to Core failed', { what, error: errorText(error) })
    }
  }

  return {
    send,
    close: async () => {
      closed = true
      if (next !== null) clearTimeout(next)
      const ws = socket
      if (ws === null) return
      const gone = new Promise<void>(resolve => ws.once('close', () => resolve()))
      const grace = setTimeout(() => ws.terminate(), closeGraceMs)
      if (ws.readyState === WebSocket.CONNECTING) ws.terminate()
      else ws.close(1000)
      await gone
      clearTimeout(grace)
    },
  }
}

/** Close code of a server that restarts (RFC 6455 §7.4.2, registered as "Service Restart"). */
const restart = 1012

/** @param attempt 0 on the first connection, then counted up */
function channelUrl(coreUrl: URL, outpostId: string, instanceId: string, attempt: number): URL {
  const url = underBase(coreUrl, `ws/outpost/${outpostId}/`)
  url.protocol = coreUrl.protocol === 'https:' ? 'wss:' : 'ws:'
  url.search = coreUrl.search
  url.searchParams.set('instance_uuid', instanceId)
  if (attempt > 0) url.searchParams.set('attempt', `${attempt}`)
  return url
}
