// Sessions that end because Core says so: applied at once to memory and store, receipts sent back, and remembered by their number, so
// that Core can repeat what was missed while nobody was connected.
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { LRUCache } from 'lru-cache'
import { errorText, type Log } from '../log.ts'
import { instruction } from '../wire/frames.ts'
import type { OutpostLink } from '../wire/link.ts'
import type { HeaderLogins } from './header-login.ts'
import type { Sessions } from './sessions/sessions.ts'

export interface Revocations {
  /** number of the last revocation applied, 0 for none */
  last(): number
  /** Takes the arguments of SESSION_END, or of the older PROVIDER_SPECIFIC `logout`. */
  receive(args: Record<string, unknown>): void
  /** Call when the connection is there, and now and then while it is. */
  connected(): Promise<void>
  /** Call when the connection is gone. */
  disconnected(): void
  close(): void
}

/** As long as this Core repeats revocations; after a longer silence nobody knows what was missed. */
const repeatedMs = 24 * 3600_000
const retryMs = 5000
const maxPending = 10_000

/** Differences between clocks, and between the beginning and the end of Core's transaction. */
const toleranceMs = 2_000
/** Core says the same twice when it is not sure; what was applied is only acknowledged again. */
const rememberedMax = 10_000

interface Pending {
  sid: string
  user: string
  clientId: string
  id: number | null
  /** ms since epoch; sessions of the user or provider that were made later stay */
  before: number | undefined
  receivedAt: number
}

/**
 * @param options.file where number and time are kept over a restart (file sessions outlive one); absent: in memory only
 */
export function createRevocations(options: {
  sessions: Sessions
  headerLogins: HeaderLogins
  link: OutpostLink
  log: Log
  now: () => number
  file?: string
}): Revocations {
  const { sessions, headerLogins, link, log, now, file } = options
  const kept = file === undefined ? null : readMark(file)
  let last = kept?.last ?? 0
  let seenAt: number | null = file === undefined ? now() : (kept?.seenAt ?? null)
  let written = 0
  let pending: Pending[] = []
  let retry: NodeJS.Timeout | null = null
  let closed = false
  /** milliseconds each took, by number */
  const applied = new LRUCache<number, number>({ max: rememberedMax })

  return {
    last: () => last,
    receive(args) {
      const [sid, user, clientId] = [args.session_id, args.user, args.client_id].map(textOf) as [
        string,
        string,
        string,
      ]
      if (sid === '' && user === '' && clientId === '') return
      if (sid.length > 512 || user.length > 512 || clientId.length > 512) return
      const id = typeof args.id === 'number' && Number.isSafeInteger(args.id) ? args.id : null
      const known = id === null ? undefined : applied.get(id)
      if (id !== null && known !== undefined) {
        acknowledge(id, known)
        return
      }
      headerLogins.forget(sid === '' ? { sub: user || undefined, clientId: clientId || undefined } : { sid })
      const before = typeof args.at === 'number' ? args.at + toleranceMs : undefined
      void apply({ sid, user, clientId, id, before, receivedAt: performance.now() })
    },
    async connected() {
      const gap = seenAt === null ? Number.POSITIVE_INFINITY : now() - seenAt
      if (sessions.backend === 'filesystem' && gap > repeatedMs) {
        const count = await sessions.endAll()
        if (count > 0)
          log.warning('sessions dropped: sign-outs of more than a day may have been missed', { count })
      }
      seenAt = now()
      keep(60_000)
    },
    disconnected() {
      seenAt ??= now()
      keep(0)
    },
    close() {
      closed = true
      if (retry !== null) clearTimeout(retry)
      keep(0)
    },
  }

  async function apply(revocation: Pending): Promise<void> {
    const { sid, user, clientId, id, before, receivedAt } = revocation
    try {
      if (sid !== '') await sessions.endBySid(sid)
      else if (user !== '') await sessions.endByUser(user, clientId || undefined, before)
      else await sessions.endByProvider(clientId, before)
    } catch (error) {
      log.warning('a revocation could not be applied to the store yet', { error: errorText(error) })
      if (pending.length < maxPending) pending.push(revocation)
      if (!closed) retry ??= setTimeout(again, retryMs).unref()
      return
    }
    if (id === null) return
    const ms = Math.round(performance.now() - receivedAt)
    applied.set(id, ms)
    acknowledge(id, ms)
    // A number below one that still waits must not be passed over: Core would never repeat that one.
    if (pending.every(other => other.id === null || other.id > id)) last = Math.max(last, id)
    keep(1000)
  }

  function acknowledge(id: number, ms: number): void {
    const args = { sub_type: 'session_end.applied', id, ms }
    link.send({ instruction: instruction.providerSpecific, args })
  }

  function again(): void {
    retry = null
    const waiting = pending
    pending = []
    for (const revocation of waiting) void apply(revocation)
  }

  function keep(everyMs: number): void {
    if (file === undefined || seenAt === null || now() - written < everyMs) return
    written = now()
    try {
      writeFileSync(`${file}.new`, JSON.stringify({ last, seenAt }), { mode: 0o600 })
      renameSync(`${file}.new`, file)
    } catch (error) {
      log.warning('cannot remember the last revocation', { file, error: errorText(error) })
    }
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function readMark(file: string): { last: number; seenAt: number } | null {
  try {
    const { last, seenAt } = JSON.parse(readFileSync(file, 'utf8')) as { last: unknown; seenAt: unknown }
    return typeof last === 'number' && typeof seenAt === 'number' ? { last, seenAt } : null
  } catch {
    return null
  }
}
