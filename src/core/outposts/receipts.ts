// What outposts report back about ended sessions, written in batches.
import { errorText, type Log } from '../../log.ts'
import type { Db } from '../../pg/db.ts'
import type { Receipt } from './hub.sql.ts'
import { insertReceipts, touchInstances } from './hub.sql.ts'
import type { Link } from './hub-link.ts'

export interface Receipts {
  /** Takes the arguments of `session_end.applied`; anything that is not a receipt is ignored. */
  add(link: Link, args: Record<string, unknown>): void
  /** Notes that the link is alive although it sent no HELLO. */
  touch(link: Link): void
  /** Writes what is waiting. */
  close(): Promise<void>
}

const gatherMs = 200
const batchMax = 1000
const waitingMax = 100_000

export function createReceipts(options: { db: Db; log: Log }): Receipts {
  const { db, log } = options
  let waiting: Receipt[] = []
  let touched = new Set<Link>()
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> | undefined

  function schedule(): void {
    if (writing === undefined) timer ??= setTimeout(start, gatherMs)
  }

  function start(): void {
    clearTimeout(timer)
    timer = undefined
    writing ??= write().finally(() => {
      writing = undefined
      if (waiting.length > 0 || touched.size > 0) schedule()
    })
  }

  async function write(): Promise<void> {
    const batch = waiting.splice(0, batchMax)
    const links = [...touched]
    touched = new Set()
    try {
      if (batch.length > 0) await insertReceipts(db, batch)
      if (links.length > 0) await touchInstances(db, links)
    } catch (error) {
      log.warning('receipts of ended sessions were not stored', {
        count: batch.length,
        error: errorText(error),
      })
    }
  }

  return {
    add(link, { id, ms }) {
      if (!Number.isSafeInteger(id) || (id as number) < 1) return
      if (typeof ms !== 'number' || !Number.isFinite(ms) || ms < 0) return
      if (waiting.length >= waitingMax) return
      const { outpostId, instanceId } = link
      waiting.push({ id: id as number, outpostId, instanceId, ms: Math.min(Math.round(ms), 2_147_483_647) })
      schedule()
    },
    touch(link) {
      touched.add(link)
      schedule()
    },
    async close() {
      await writing
      while (waiting.length > 0) {
        start()
        await writing
      }
      clearTimeout(timer)
      timer = undefined
      waiting = []
    },
  }
}
