// Taking jobs out of the queue, in one statement: those of the highest priority first, none of a key that runs, none beyond the limit
// of its actor. pg-boss has a statement of its own for this, which cannot do the second.

import { type Db, type Queryable, sql } from '../db.ts'
import { isUniqueViolation } from '../errors.ts'
import { bossSchema } from './boss-schema.ts'
import type { ClaimedJob } from './job.ts'

interface ClaimedRow {
  id: string
  retry_count: number
  priority: number
  created_on: Date
  started_on: Date
  data: unknown
  output: unknown
  keyed: boolean
}

/**
 * @param limits most runs at a time, by actor; leases make it exact, this saves claiming in vain
 * @returns the jobs, at most `count`; null when another worker took one of the same key this moment: try again
 * @throws PgError when the database cannot be asked
 */
export async function claimJobs(
  db: Queryable & Pick<Db, 'schema'>,
  queue: string,
  count: number,
  limits: Readonly<Record<string, number>> = {},
): Promise<ClaimedJob[] | null> {
  const job = sql.raw(`${bossSchema(db.schema)}.job`)
  const limited = Object.keys(limits).length > 0
  // Ranked within what was picked, so that one statement never takes two of a key, or of an actor more than its limit.
  const rows = await db
    .rows(sql<ClaimedRow>`
    with ${limited ? countRunning(job, queue, limits) : sql``} picked as (
      select j.id, j.priority, j.created_on, j.singleton_key, j.group_id from ${job} j
      where j.name = ${queue} and j.state < 'active' and not j.blocked and j.start_after <= now()
        and (j.singleton_key = j.id::text or not exists (
          select from ${job} a where a.name = j.name and a.singleton_key = j.singleton_key and a.state = 'active'
            and a.singleton_key <> a.id::text))
        ${limited ? sql`and not exists (select from crowded c where c.actor = j.group_id and c.room <= 0)` : sql``}
      order by j.priority desc, j.created_on limit ${count} for update of j skip locked
    ), ranked as (
      select p.id, row_number() over (partition by p.singleton_key order by p.priority desc, p.created_on) as of_key
        ${limited ? sql`, c.room, row_number() over (partition by p.group_id order by p.priority desc, p.created_on) as of_actor` : sql``}
      from picked p ${limited ? sql`left join crowded c on c.actor = p.group_id` : sql``}
    )
    update ${job} j set state = 'active', started_on = now(), heartbeat_on = now(),
      retry_count = case when j.started_on is not null then j.retry_count + 1 else j.retry_count end
    where j.name = ${queue} and j.id = any (array(
      select id from ranked where of_key = 1 ${limited ? sql`and (room is null or of_actor <= room)` : sql``}))
    returning j.id, j.retry_count, j.priority, j.created_on, j.started_on, j.data, j.output,
      j.singleton_key <> j.id::text as keyed`)
    .catch(error => {
      if (isUniqueViolation(error, 'task_key_running')) return null
      throw error
    })
  return rows?.sort(byTurn).map(jobOf) ?? null
}

function countRunning(job: ReturnType<typeof sql>, queue: string, limits: Readonly<Record<string, number>>) {
  return sql`crowded as materialized (
      select l.key as actor, l.value::int - (select count(*) from ${job} a
        where a.name = ${queue} and a.state = 'active' and a.group_id = l.key)::int as room
      from jsonb_each_text(${JSON.stringify(limits)}::jsonb) l),`
}

function byTurn(a: ClaimedRow, b: ClaimedRow): number {
  return b.priority - a.priority || a.created_on.getTime() - b.created_on.getTime()
}

function jobOf(row: ClaimedRow): ClaimedJob {
  return {
    id: row.id,
    retryCount: row.retry_count,
    priority: row.priority,
    createdOn: row.created_on,
    startedOn: row.started_on,
    data: row.data,
    output: row.output,
    keyed: row.keyed,
  }
}
