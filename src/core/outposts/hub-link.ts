// One connection of one process of an outpost, and all connections of this process of Core. A link costs one object: no timer, no
// statement of its own.
import { instruction } from '../../wire/frames.ts'

/** The other end, whatever carries it. */
export interface Peer {
  send(text: string): void
  /** Bytes given to `send` that are not on their way yet. */
  backlog(): number
  close(code: number, reason: string): void
  /** Ends without goodbye. */
  terminate(): void
}

export interface Link {
  readonly outpostId: string
  readonly outpostName: string
  /** configured number of processes, for metrics */
  readonly expected: number
  readonly instanceId: string
  readonly bearerHash: Buffer | null
  readonly userId: number
  readonly connectedAt: Date
  /** the process says that it was connected before */
  readonly again: boolean
  readonly peer: Peer
  open: boolean
  /** its first HELLO was answered for: what it missed has been sent */
  greeted: boolean
  /** revocations sent so far, while one may still come twice: by replay and by the bus */
  sent: Set<number> | null
  /** when that ends (ms, `performance.now`) */
  settledAt: number
  /** understands our additions: ends of a whole user, receipts */
  extended: boolean
  version: string
  /** the configuration it has applied; null when it does not say */
  revision: number | null
  /** the newest revision it was told of, and when (ms, `performance.now`) */
  told: number
  toldAt: number
  lastFrameAt: number
  /** a HELLO is being saved; what came meanwhile waits in `next` */
  saving: boolean
  next: Record<string, unknown> | null
}

export type NewLink = Pick<
  Link,
  'outpostId' | 'outpostName' | 'expected' | 'instanceId' | 'bearerHash' | 'userId' | 'again' | 'peer'
>

export function newLink(given: NewLink, now: Date): Link {
  return {
    ...given,
    connectedAt: now,
    open: true,
    greeted: false,
    sent: null,
    settledAt: Number.POSITIVE_INFINITY,
    extended: false,
    version: '',
    revision: null,
    told: 0,
    toldAt: 0,
    lastFrameAt: performance.now(),
    saving: false,
    next: null,
  }
}

/** A message of the bus may be this much later than the row it speaks of. */
const lateMs = 10_000

/** Call when a link has been sent all it missed. */
export function settle(link: Link): void {
  link.settledAt = performance.now() + lateMs
}

/** False when this revocation has been sent to this link already, as far as that can happen. */
export function isFirst(link: Link, revocation: number): boolean {
  if (performance.now() > link.settledAt) {
    link.sent = null
    return true
  }
  link.sent ??= new Set()
  if (link.sent.has(revocation)) return false
  link.sent.add(revocation)
  return true
}

/** All links of this process, by outpost. */
export interface Links {
  all(): IterableIterator<Link>
  of(outpostId: string): Iterable<Link>
  outpostIds(): string[]
  count(): number
  add(link: Link): void
  remove(link: Link): void
}

export function createLinks(): Links {
  const links = new Set<Link>()
  const byOutpost = new Map<string, Set<Link>>()
  return {
    all: () => links.values(),
    of: outpostId => byOutpost.get(outpostId) ?? [],
    outpostIds: () => [...byOutpost.keys()],
    count: () => links.size,
    add(link) {
      links.add(link)
      byOutpost.set(link.outpostId, (byOutpost.get(link.outpostId) ?? new Set()).add(link))
    },
    remove(link) {
      links.delete(link)
      const siblings = byOutpost.get(link.outpostId)
      siblings?.delete(link)
      if (siblings?.size === 0) byOutpost.delete(link.outpostId)
    },
  }
}

export const ackText = JSON.stringify({ instruction: instruction.ack, args: {} })

/** Beyond this a peer does not read; it gets everything again when it is back. */
const backlogMax = 8 * 1024 * 1024

/** Sends unless the link is closed; a peer that has stopped reading is cut. */
export function sendTo(link: Link, text: string): void {
  if (!link.open) return
  if (link.peer.backlog() > backlogMax) link.peer.terminate()
  else link.peer.send(text)
}
