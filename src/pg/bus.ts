// Messages between processes: one LISTEN per process, one channel, sent after commit, coalesced. Tables are the truth, a
// message is a hint; whoever listens re-reads its tables in `onResync`, on every (re)connect and every 30 s.
import { createHash, randomUUID } from 'node:crypto'
import { errorText, type Log } from '../log.ts'
import type { Beat } from './beat.ts'
import { type BusMessage, decodeFrame, encodeFrame } from './bus-frame.ts'
import { notifyOf, readBlob } from './bus-rows.ts'
import type { Db } from './db.ts'
import type { Direct } from './direct.ts'

/** Body of a message: ids and revisions only, at most 7,900 bytes with its envelope. */
export type BusBody = Record<string, string | number | boolean | null>

export interface Bus {
  /** Sends to every process, this one included. Call it after commit (`tx.afterCommit`). Equal (type, body) pairs waiting together are sent once. */
  publish(type: string, body?: BusBody): void
  /** @returns a function that ends the subscription */
  subscribe(type: string, handle: (body: BusBody) => void): () => void
  /** Called once LISTEN is (again) in place, and every 30 s ± jitter: compare revisions with the tables and act on differences. */
  onResync(handle: () => Promise<void>): () => void
  /** False while the direct connection is down or the self-test has failed twice. */
  healthy(): boolean
  close(): Promise<void>
}

export interface BusFigures {
  /** messages of this process */
  sent: number
  /** messages of others */
  received: number
  /** messages that could not be sent; others learn by resync */
  dropped: number
  notifications: number
  resyncs: number
  /** of the last self-test, there and back */
  latencySeconds: number | undefined
}

export interface WatchedBus extends Bus {
  /** `poll`: without a direct connection; messages are up to a quarter of a second late. */
  readonly way: 'listen' | 'poll'
  /** Since the bus was made; a live object. */
  readonly figures: BusFigures
}

/**
 * A message on its own leaves at once; those that follow within this time share the next notification, since every notifying commit
 * takes a lock of the whole server.
 */
const coalesceMs = 5
/** Sustained notifications per second; more than that share larger frames. */
const ratePerSecond = 200

/**
 * Joins the bus of a schema. Messages reach this process's own subscribers without the database.
 * @param options.direct listens, and sends; while it is down `db` sends. Where it only polls, every message is a row
 * @param options.beat carries the self-test: a process that does not hear itself twice connects anew
 * @param options.resyncMs default 30,000
 */
export function createBus(options: {
  direct: Direct
  db: Db
  beat: Beat
  log: Log
  resyncMs?: number
}): WatchedBus {
  const { direct, db, beat, log } = options
  const resyncMs = options.resyncMs ?? 30_000
  const src = beat.node.id
  const channel = busChannel(db.schema)
  const subscribers = new Map<string, Set<(body: BusBody) => void>>()
  const resyncs = new Set<() => Promise<void>>()
  const waiting = new Map<string, BusMessage>()
  let flushTimer: NodeJS.Timeout | undefined
  let flushSoon: NodeJS.Immediate | undefined
  let resyncTimer: NodeJS.Timeout | undefined
  let sending: Promise<void> | undefined
  let nextSendAt = 0
  let lastSentAt = 0
  const figures: BusFigures = {
    sent: 0,
    received: 0,
    dropped: 0,
    notifications: 0,
    resyncs: 0,
    latencySeconds: undefined,
  }
  let nonce: string | undefined
  let nonceSentAt = 0
  let deaf = 0
  let listening = false
  let closed = false

  function deliver({ type, body }: BusMessage): void {
    for (const handle of subscribers.get(type) ?? []) {
      try {
        handle(body)
      } catch (error) {
        log.error('subscriber failed', { type, error: errorText(error) })
      }
    }
  }

  function arrive(message: BusMessage): void {
    figures.received++
    deliver(message)
  }

  async function receive(payload: string): Promise<void> {
    const frame = decodeFrame(payload)
    if (frame === undefined) {
      log.debug('notification that is not a frame of the bus', { bytes: payload.length })
    } else if ('nonce' in frame) {
      if (frame.src === src && frame.nonce === nonce) {
        nonce = undefined
        deaf = 0
        figures.latencySeconds = (performance.now() - nonceSentAt) / 1000
      }
    } else if (frame.src === src) {
      return
    } else if ('messages' in frame) {
      for (const message of frame.messages) arrive(message)
    } else {
      const body = await readBlob(db, frame.blob)
      const inner = body === undefined ? undefined : decodeFrame(body)
      if (inner !== undefined && 'messages' in inner) for (const message of inner.messages) arrive(message)
    }
  }

  function schedule(): void {
    if (closed || flushTimer !== undefined || flushSoon !== undefined || sending !== undefined) return
    const wait = Math.max(lastSentAt + coalesceMs, nextSendAt) - performance.now()
    if (wait > 0) flushTimer = setTimeout(flush, wait)
    else flushSoon = setImmediate(flush)
  }

  /** One notification at a time: what is published meanwhile goes into the next. */
  function flush(): void {
    clearTimeout(flushTimer)
    clearImmediate(flushSoon)
    flushTimer = undefined
    flushSoon = undefined
    const messages = [...waiting.values()]
    waiting.clear()
    if (messages.length === 0) return
    lastSentAt = performance.now()
    nextSendAt = Math.max(nextSendAt, lastSentAt - 1000) + 1000 / ratePerSecond
    sending = send(messages)
      .then(() => {
        figures.sent += messages.length
        figures.notifications++
      })
      .catch(error => {
        figures.dropped += messages.length
        log.warning('message not sent, others learn it by resync', { error: errorText(error) })
      })
      .finally(() => {
        sending = undefined
        if (waiting.size > 0) schedule()
      })
  }

  async function send(messages: BusMessage[]): Promise<void> {
    const statement = notifyOf(db, channel, src, messages, direct.polls === true)
    if (direct.isUp()) {
      const { sql: text, parameters } = statement.compile(db.kysely)
      const sent = await direct.query(text, [...parameters]).catch(() => undefined)
      if (sent !== undefined) return
    }
    await db.rows(statement)
  }

  async function resync(): Promise<void> {
    clearTimeout(resyncTimer)
    if (closed) return
    resyncTimer = setTimeout(() => void resync(), resyncMs * (0.8 + Math.random() * 0.4))
    figures.resyncs++
    for (const handle of resyncs) await runResync(handle)
  }

  async function runResync(handle: () => Promise<void>): Promise<void> {
    try {
      await handle()
    } catch (error) {
      log.warning('resync failed', { error: errorText(error) })
    }
  }

  const stopWatching = direct.onUp(() => {
    deaf = 0
    nonce = undefined
    if (listening) void resync()
  })
  const leaveBeat = beat.join({
    notification() {
      if (!listening || direct.polls === true) return undefined
      if (nonce !== undefined && ++deaf >= 2) {
        log.warning('bus does not hear itself, connecting again', { channel })
        nonce = undefined
        direct.reconnect('the bus does not hear itself')
        return undefined
      }
      nonce = randomUUID()
      nonceSentAt = performance.now()
      return { channel, payload: encodeFrame({ src, nonce }) }
    },
  })
  const started = direct
    .listen(channel, payload => {
      receive(payload).catch(error => log.warning('message not read', { error: errorText(error) }))
    })
    .then(() => {
      listening = true
      return resync()
    })

  return {
    way: direct.polls === true ? 'poll' : 'listen',
    figures,
    publish(type, body = {}) {
      const key = JSON.stringify([type, body])
      if (closed || waiting.has(key)) return
      const message = { type, body }
      waiting.set(key, message)
      queueMicrotask(() => deliver(message))
      schedule()
    },
    subscribe(type, handle) {
      const handlers = subscribers.get(type) ?? new Set()
      subscribers.set(type, handlers.add(handle))
      return () => {
        handlers.delete(handle)
        if (handlers.size === 0) subscribers.delete(type)
      }
    },
    onResync(handle) {
      resyncs.add(handle)
      if (listening) void runResync(handle)
      return () => resyncs.delete(handle)
    },
    healthy: () => direct.isUp() && deaf < 2,
    async close() {
      if (closed) return
      closed = true
      await sending
      flush()
      await sending
      clearTimeout(resyncTimer)
      leaveBeat()
      stopWatching()
      await started.catch(() => {})
      clearTimeout(resyncTimer)
    },
  }
}

/** `<schema>_bus`; a name longer than PostgreSQL's 63 bytes would be cut, and so is replaced by its hash. */
export function busChannel(schema: string): string {
  const name = `${schema}_bus`
  if (Buffer.byteLength(name) <= 63) return name
  return `bus_${createHash('sha256').update(name).digest('hex').slice(0, 48)}`
}
