// SESSION_END: what ended in Core ends at every outpost. The bus brings numbers of revocations; their rows are read once for all that
// came together, whatever the number of links. Who was away is sent what it missed, up to a day of it.
import { errorText, type Log } from '../../log.ts'
import type { Bus } from '../../pg/bus.ts'
import type { Db } from '../../pg/db.ts'
import { instruction, type SessionEndArgs } from '../../wire/frames.ts'
import { sessionEndMessage } from '../sessions/revoke.ts'
import type { RevocationRow } from './hub.sql.ts'
import { revocationsAfter, revocationsByIds, revocationsWithin } from './hub.sql.ts'
import type { Link, Links } from './hub-link.ts'
import { isFirst, sendTo } from './hub-link.ts'

export interface SessionEnds {
  /** Sends a link every revocation after the last one it knows. */
  replay(link: Link, lastKnown: number): Promise<void>
  close(): void
}

const gatherMs = 5
const retryMs = 1000
/** A transaction's rows carry the time of its beginning; it may become visible this much later. */
const overlapSeconds = 60
const rememberMs = 120_000
const pageSize = 500
const backlogHigh = 1024 * 1024

export function createSessionEnds(options: { db: Db; bus: Bus; links: Links; log: Log }): SessionEnds {
  const { db, bus, links, log } = options
  const waiting = new Set<number>()
  /** what was sent to all links, by number, with the time */
  const sent = new Map<number, number>()
  let timer: NodeJS.Timeout | undefined
  let reading = false
  let readAt = performance.now()
  let closed = false

  const stopListening = bus.subscribe(sessionEndMessage, ({ id }) => {
    if (typeof id !== 'number' || links.count() === 0) return
    waiting.add(id)
    schedule(gatherMs)
  })

  /** One read at a time, so that ends are told in the order in which they came. */
  function schedule(ms: number): void {
    if (!closed && !reading) timer ??= setTimeout(() => void flush(), ms)
  }

  async function flush(): Promise<void> {
    timer = undefined
    reading = true
    const ids = [...waiting]
    waiting.clear()
    let pauseMs = 0
    try {
      deliver(await revocationsByIds(db, ids))
    } catch (error) {
      log.warning('ended sessions could not be read yet', { count: ids.length, error: errorText(error) })
      for (const id of ids) waiting.add(id)
      pauseMs = retryMs
    }
    reading = false
    if (waiting.size > 0) schedule(pauseMs)
  }

  function deliver(rows: RevocationRow[]): void {
    const now = performance.now()
    for (const row of rows) {
      if (sent.has(row.id)) continue
      sent.set(row.id, now)
      const text = frameOf(row)
      for (const link of links.all()) tell(link, row, text)
    }
  }

  const stopResync = bus.onResync(async () => {
    const startedAt = performance.now()
    if (links.count() > 0) {
      deliver(await revocationsWithin(db, (startedAt - readAt) / 1000 + overlapSeconds))
    }
    readAt = startedAt
    for (const [id, at] of sent) if (startedAt - at > rememberMs) sent.delete(id)
  })

  return {
    async replay(link, lastKnown) {
      for (let after = lastKnown, first = true; link.open && !closed; first = false) {
        const rows = await revocationsAfter(db, after, pageSize, first)
        for (const row of rows) tell(link, row, frameOf(row))
        if (rows.length < pageSize) return
        after = rows.at(-1)!.id
        while (link.open && link.peer.backlog() > backlogHigh)
          await new Promise(resolve => setTimeout(resolve, 20))
      }
    },
    close() {
      closed = true
      stopListening()
      stopResync()
      clearTimeout(timer)
    },
  }
}

function tell(link: Link, row: RevocationRow, text: string): void {
  // An empty session id means nothing good to an outpost that knows neither `user` nor `client_id`.
  if (row.session_id === '' && !link.extended) return
  if (isFirst(link, row.id)) sendTo(link, text)
}

function frameOf(row: RevocationRow): string {
  const { id, session_id, at } = row
  const args: SessionEndArgs = { type: 'event.session.end', session_id, id, at }
  if (row.user_uid !== null) args.user = row.user_uid
  if (row.client_id !== null) args.client_id = row.client_id
  return JSON.stringify({ instruction: instruction.sessionEnd, args })
}
