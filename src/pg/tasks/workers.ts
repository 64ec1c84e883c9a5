// Processes that run tasks, as their beat shows them.
import { type Queryable, sql } from '../db.ts'

export interface LiveWorker {
  id: string
  name: string
  version: string
}

/** Kinds of processes that work. */
export const workerKinds = ['worker', 'start'] as const

/** Those heard of within three beats. */
export async function liveWorkers(db: Queryable): Promise<LiveWorker[]> {
  return await db.rows(
    sql<LiveWorker>`
    select id, name, version from ${db.t('nodes')}
    where kind = any(${[...workerKinds]}::text[]) and seen_at > now() - interval '30 seconds' order by name, id`,
    { retry: true },
  )
}
