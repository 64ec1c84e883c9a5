// The meeting point of outposts and Core: `/ws/outpost/<uuid>/` and the link of the embedded outpost. Every process of Core serves
// its own links; what must reach all of them comes over the bus, and what the bus loses is compared with the tables.
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import WebSocket, { WebSocketServer } from 'ws'
import { answerOnSocket } from '../../http/errors.ts'
import { errorText } from '../../log.ts'
import { instruction, parseFrame } from '../../wire/frames.ts'
import type { Core } from '../core.ts'
import { endOutpostSessions } from '../sessions/revoke.ts'
import { outpostDeletedMessage } from './account.ts'
import { forgetInstance, saveHello } from './hub.sql.ts'
import type { Link, NewLink } from './hub-link.ts'
import { ackText, createLinks, newLink, sendTo, settle } from './hub-link.ts'
import { createReceipts } from './receipts.ts'
import { createSessionEnds } from './session-ends.ts'
import { createUpdates } from './updates.ts'
import { createDoorkeeper, linkTarget } from './upgrade.ts'

export interface Hub {
  /** @returns false when the path is none of the hub's; else the socket is the hub's from here on */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean
  /** Joins a link that needs no socket. The caller has established who it is. */
  attach(link: NewLink): Attached
  /** Links of this process. */
  links(): Iterable<Readonly<Link>>
  /** Closes every link with 1012 ("Service Restart"), so that outposts come back at once, elsewhere. */
  close(): Promise<void>
}

export interface Attached {
  /** Takes one text frame of the outpost. */
  receive(text: string): void
  /** The other end is gone. @param clean it said goodbye */
  ended(clean: boolean): void
}

/** Close codes, RFC 6455 §7.4.1 and its registry. */
const codes = { unsupported: 1003, policy: 1008, restart: 1012 } as const
/** Frames of outposts are a few hundred bytes. */
const frameMax = 64 * 1024
const closeGraceMs = 2000

/**
 * @param options.silenceMs a link without any frame for so long is cut; default 60,000, where HELLO comes every 10 s
 * @param options.sweepMs how often that is looked at, for all links together; default 15,000
 */
export function createHub(
  core: Pick<Core, 'db' | 'bus' | 'log' | 'trusted'>,
  options: { silenceMs?: number; sweepMs?: number } = {},
): Hub {
  const { db, bus } = core
  const { silenceMs = 60_000, sweepMs = 15_000 } = options
  const log = core.log.child('authentik.outposts')
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: frameMax,
    perMessageDeflate: false,
  })
  const doorkeeper = createDoorkeeper({ db, log, trusted: core.trusted })
  const links = createLinks()
  const updates = createUpdates({ db, bus, links, onDeleted: endOutpost })
  const ends = createSessionEnds({ db, bus, links, log })
  const receipts = createReceipts({ db, log })
  const stopListening = bus.subscribe(outpostDeletedMessage, ({ outpost }) => endOutpost(String(outpost)))
  const sweep = setInterval(cutSilent, sweepMs)
  sweep.unref()
  const working = new Set<Promise<void>>()
  let closing = false
  let onEmpty = () => {}

  function attach(given: NewLink): Attached {
    if (closing) throw new Error('the hub is closed')
    const link = newLink(given, new Date())
    links.add(link)
    log.info('outpost connected', {
      outpost: link.outpostName,
      outpost_id: link.outpostId,
      instance: link.instanceId,
    })
    return { receive: text => receive(link, text), ended: clean => ended(link, clean) }
  }

  function ended(link: Link, clean: boolean): void {
    if (!link.open) return
    link.open = false
    links.remove(link)
    log.info('outpost disconnected', { outpost: link.outpostName, instance: link.instanceId, clean })
    if (clean && !closing && link.greeted) background('forget', forgetInstance(db, link))
    if (links.count() === 0) onEmpty()
  }

  function receive(link: Link, text: string): void {
    if (!link.open) return
    link.lastFrameAt = performance.now()
    const frame = text.includes('\\u0000') ? null : parseFrame(text)
    if (frame === null) {
      log.warning('outpost sent a frame that is none', {
        outpost: link.outpostName,
        instance: link.instanceId,
      })
      link.peer.close(codes.unsupported, 'not a frame')
      return
    }
    if (frame.instruction === instruction.ack) return
    sendTo(link, ackText)
    if (frame.instruction === instruction.hello) hello(link, frame.args)
    else {
      receipts.touch(link)
      if (frame.instruction === instruction.providerSpecific) specific(link, frame.args)
    }
  }

  function specific(link: Link, args: Record<string, unknown>): void {
    if (args.sub_type === 'session_end.applied') receipts.add(link, args)
    else if (args.sub_type === 'logout' && typeof args.session_id === 'string') signOut(args.session_id)
  }

  /** Signed out at one outpost means signed out at all; the session in Core is for its own sign-out to end. */
  function signOut(sid: string): void {
    if (!/^[0-9a-f]{64}$/.test(sid)) return
    background(
      'sign-out',
      db.transaction(tx => endOutpostSessions(tx, bus, sid)),
    )
  }

  /** One statement at a time per link; of what comes meanwhile only the last counts. */
  function hello(link: Link, args: Record<string, unknown>): void {
    link.extended = Array.isArray(args.features) && args.features.includes('session_end.receipts')
    link.version = typeof args.version === 'string' ? args.version : ''
    if (link.saving) {
      link.next = args
      return
    }
    link.saving = true
    const work = greet(link, args).finally(() => {
      link.saving = false
      const { next } = link
      link.next = null
      if (next !== null && link.open) hello(link, next)
    })
    background('hello', work)
  }

  async function greet(link: Link, args: Record<string, unknown>): Promise<void> {
    const revision = countOf(args.revision)
    const lastRevocation = countOf(args.last_revocation)
    const state = await saveHello(db, {
      ...link,
      args,
      revision: revision ?? 0,
      lastRevocation: lastRevocation ?? 0,
      receipts: link.extended,
    })
    if (!link.open) return
    if (state === undefined) {
      log.warning('outpost is no longer allowed to connect', {
        outpost: link.outpostName,
        instance: link.instanceId,
      })
      link.peer.close(codes.policy, 'no longer allowed')
      return
    }
    const first = !link.greeted
    link.greeted = true
    link.revision = revision
    // One that says no revision has the current one, if it has only just fetched it: at its first connection.
    if (first && revision === null && !link.again) link.told = state.revision
    updates.compare(link, state.revision)
    if (!first) return
    const replay =
      lastRevocation !== null && state.missed ? ends.replay(link, lastRevocation) : Promise.resolve()
    background(
      'replay',
      replay.finally(() => settle(link)),
    )
  }

  function background(what: string, work: Promise<void>): void {
    const done = work
      .catch(error => log.warning('work for an outpost failed', { what, error: errorText(error) }))
      .finally(() => working.delete(done))
    working.add(done)
  }

  function endOutpost(outpostId: string): void {
    for (const link of [...links.of(outpostId)]) link.peer.close(codes.policy, 'outpost deleted')
  }

  function cutSilent(): void {
    const now = performance.now()
    for (const link of links.all()) if (now - link.lastFrameAt > silenceMs) link.peer.terminate()
  }

  function carry(socket: WebSocket, given: Omit<NewLink, 'peer'>): void {
    const attached = attach({ ...given, peer: peerOf(socket) })
    socket.on('message', (data, isBinary) => attached.receive(isBinary ? '' : String(data)))
    socket.on('error', error => log.debug('socket of an outpost failed', { error: errorText(error) }))
    socket.on('close', code => attached.ended(code === 1000 || code === 1001))
  }

  return {
    handleUpgrade(request, socket, head) {
      const target = linkTarget(request.url)
      if (target === null) return false
      socket.on('error', () => {})
      if (closing) {
        answerOnSocket(socket, 503)
        return true
      }
      const work = doorkeeper.admit(request, socket, target).then(given => {
        if (given === null) return
        if (closing) answerOnSocket(socket, 503)
        else if (!socket.destroyed)
          server.handleUpgrade(request, socket, head, opened => carry(opened, given))
      })
      background('upgrade', work)
      return true
    },
    attach,
    links: () => links.all(),
    async close() {
      if (closing) return
      closing = true
      clearInterval(sweep)
      stopListening()
      updates.close()
      ends.close()
      const empty = new Promise<void>(resolve => {
        onEmpty = resolve
      })
      const late = setTimeout(() => {
        for (const link of links.all()) link.peer.terminate()
      }, closeGraceMs)
      for (const link of links.all()) link.peer.close(codes.restart, 'Service Restart')
      if (links.count() > 0) await empty
      clearTimeout(late)
      await Promise.all(working)
      await receipts.close()
    },
  }
}

function peerOf(socket: WebSocket): NewLink['peer'] {
  return {
    send: text => {
      if (socket.readyState === WebSocket.OPEN) socket.send(text)
    },
    backlog: () => socket.bufferedAmount,
    close: (code, reason) => socket.close(code, reason),
    terminate: () => socket.terminate(),
  }
}

/** A number that counts something, or null. */
function countOf(value: unknown): number | null {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : null
}
