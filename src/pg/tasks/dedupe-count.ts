// Tasks that were not filed because one that waits does their work: counted in memory, written now and then, so that a flood of
// changes is not a flood of writes to one row.
import { errorText, type Log } from '../../log.ts'
import { type Db, sql } from '../db.ts'
import type { SettledActor } from './actor.ts'
import { durationBounds } from './rollups.ts'

export interface DedupeCount {
  add(actor: Pick<SettledActor, 'queue' | 'name'>): void
  /** Writes what is left. */
  close(): Promise<void>
}

const standardFlushMs = 5000

export function createDedupeCount(options: { db: Db; log: Log; flushMs?: number }): DedupeCount {
  const { db, log } = options
  let counts = new Map<string, { queue: string; actor: string; n: number }>()
  let timer: NodeJS.Timeout | undefined
  let flushing: Promise<void> | undefined

  async function flush(): Promise<void> {
    timer = undefined
    const taken = [...counts.values()]
    counts = new Map()
    if (taken.length === 0) return
    try {
      await db.count(sql`
        insert into ${db.t('task_totals')} as t (queue, actor, histogram, deduplicated)
        select x.queue, x.actor, array_fill(0::bigint, array[${durationBounds.length + 1}::int]), x.n
        from jsonb_to_recordset(${JSON.stringify(taken)}::jsonb) as x (queue text, actor text, n bigint) order by 1, 2
        on conflict (queue, actor) do update set deduplicated = t.deduplicated + excluded.deduplicated`)
    } catch (error) {
      log.debug('deduplicated tasks not counted now', { error: errorText(error) })
      for (const { queue, actor, n } of taken) add({ queue, name: actor }, n)
    }
  }

  function add(actor: { queue: string; name: string }, n: number): void {
    const key = `${actor.queue} ${actor.name}`
    const entry = counts.get(key) ?? { queue: actor.queue, actor: actor.name, n: 0 }
    entry.n += n
    counts.set(key, entry)
    timer ??= setTimeout(() => {
      flushing = flush()
    }, options.flushMs ?? standardFlushMs).unref()
  }

  return {
    add: actor => add(actor, 1),
    async close() {
      clearTimeout(timer)
      await flushing
      await flush()
      clearTimeout(timer)
    },
  }
}
