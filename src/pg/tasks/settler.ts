// Gathers what runs ended with and writes it, many at a time: while one statement is under way the next batch collects. While the
// database is away it waits and tries again, so that work that is done is not done twice.
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { errorText, type Log } from '../../log.ts'
import type { Db } from '../db.ts'
import { isUnavailable, sqlstate, sqlstates } from '../errors.ts'
import { ensurePartitions } from './partitions.ts'
import { type Settlement, settleJobs } from './settle.ts'

export interface Settler {
  /** @returns false when the claim had been lost */
  settle(settlement: Settlement): Promise<boolean>
  /** Waits at most `timeoutMs` for what is under way; what is left is tried again by another worker. */
  close(timeoutMs: number): Promise<void>
}

const batchSize = 100
const pauseMs = 500

export function createSettler(options: { db: Db; node: string; log: Log }): Settler {
  const { db, node, log } = options
  const waiting: { settlement: Settlement; done: (held: boolean) => void }[] = []
  let flushing: Promise<void> | undefined
  let givenUp = false

  async function flush(): Promise<void> {
    while (waiting.length > 0 && !givenUp) {
      const batch = waiting.splice(0, batchSize)
      const held = await writeAll(batch.map(entry => entry.settlement))
      for (const { settlement, done } of batch) done(held.has(settlement.id))
    }
    for (const { done } of waiting.splice(0)) done(false)
  }

  async function writeAll(settlements: Settlement[]): Promise<Set<string>> {
    for (;;) {
      try {
        return await settleJobs(db, node, settlements)
      } catch (error) {
        if (givenUp) return new Set()
        if (sqlstate(error) === sqlstates.checkViolation && (await madePartitions())) continue
        if (!isUnavailable(error)) return await writeEach(settlements, error)
        log.warning('ended tasks wait for the database', {
          tasks: settlements.length,
          error: errorText(error),
        })
        await sleep(pauseMs)
      }
    }
  }

  /** A row that is refused must not keep the others back; alone, it is written without what the run left behind. */
  async function writeEach(settlements: Settlement[], error: unknown): Promise<Set<string>> {
    const [only] = settlements
    if (settlements.length > 1) {
      const parts = await Promise.all(settlements.map(one => writeAll([one])))
      return new Set(parts.flatMap(part => [...part]))
    }
    log.error('history of a task refused', { task: only?.id, error: errorText(error) })
    const isBare =
      only?.run === null ||
      only?.run === undefined ||
      (only.run.logs.length === 0 && only.run.result === null)
    if (only === undefined || isBare) return new Set()
    return await writeAll([{ ...only, run: { ...only.run, logs: [], result: null } } as Settlement])
  }

  async function madePartitions(): Promise<boolean> {
    return await ensurePartitions(db).then(
      made => made.length > 0,
      () => false,
    )
  }

  /** Runs that end in the same turn share the statement. */
  function begin(): void {
    flushing ??= nextTurn()
      .then(flush)
      .finally(() => {
        flushing = undefined
        if (waiting.length > 0) begin()
      })
  }

  return {
    settle: settlement =>
      new Promise(resolve => {
        waiting.push({ settlement, done: resolve })
        begin()
      }),
    async close(timeoutMs) {
      const timer = setTimeout(() => {
        givenUp = true
      }, timeoutMs)
      while (flushing !== undefined) await flushing
      clearTimeout(timer)
    },
  }
}
