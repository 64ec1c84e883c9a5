// TRIGGER_UPDATE: a change of an outpost's configuration rings the links of that outpost, at most every so often; links state the
// revision they have applied, so that a lost ring is made good with the next HELLO or resync.
import type { Bus } from '../../pg/bus.ts'
import type { Db } from '../../pg/db.ts'
import { instruction } from '../../wire/frames.ts'
import { outpostUpdateMessage } from './changed.ts'
import { revisionsOf } from './hub.sql.ts'
import type { Link, Links } from './hub-link.ts'
import { sendTo } from './hub-link.ts'

export interface Updates {
  /** Compares what a link has applied with the outpost's revision and rings it when it is behind. */
  compare(link: Link, revision: number): void
  close(): void
}

/** Changes of one outpost wait this long for others to share a ring with. */
const gatherMs = 250
/** A link that was told of a revision and still does not have it is told again after this. */
const repeatMs = 60_000

/** @param options.onDeleted called with each local outpost that is gone from the database */
export function createUpdates(options: {
  db: Db
  bus: Bus
  links: Links
  onDeleted: (outpostId: string) => void
}): Updates {
  const { db, bus, links, onDeleted } = options
  const waiting = new Map<string, { revision: number; timer: NodeJS.Timeout }>()

  function ring(outpostId: string): void {
    const revision = waiting.get(outpostId)?.revision ?? 0
    waiting.delete(outpostId)
    for (const link of links.of(outpostId)) tell(link, revision)
  }

  const stopListening = bus.subscribe(outpostUpdateMessage, body => {
    const { outpost, revision } = body
    if (typeof outpost !== 'string' || typeof revision !== 'number') return
    const known = waiting.get(outpost)
    if (known !== undefined) known.revision = Math.max(known.revision, revision)
    else waiting.set(outpost, { revision, timer: setTimeout(() => ring(outpost), gatherMs) })
  })

  function compare(link: Link, revision: number): void {
    const applied = link.revision ?? link.told
    if (applied < revision) tell(link, revision)
  }

  const stopResync = bus.onResync(async () => {
    const ids = links.outpostIds()
    if (ids.length === 0) return
    const revisions = await revisionsOf(db, ids)
    for (const id of ids) {
      const revision = revisions.get(id)
      if (revision === undefined) onDeleted(id)
      else for (const link of links.of(id)) if (link.greeted) compare(link, revision)
    }
  })

  return {
    compare,
    close() {
      stopListening()
      stopResync()
      for (const { timer } of waiting.values()) clearTimeout(timer)
      waiting.clear()
    },
  }
}

function tell(link: Link, revision: number): void {
  const now = performance.now()
  if (link.told >= revision && now - link.toldAt < repeatMs) return
  link.told = Math.max(link.told, revision)
  link.toldAt = now
  sendTo(link, JSON.stringify({ instruction: instruction.triggerUpdate, args: { revision } }))
}
