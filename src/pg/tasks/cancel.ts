// Ending a task from outside. One that waits is history at once; one that runs is told to end, by a message for speed and by its row
// for certainty: its worker reads it with the next beat, and whoever is given the task later does not begin it.
import { sql, type Tx } from '../db.ts'
import { bossSchema } from './boss-schema.ts'

/** Bus message; its body says `id`. */
export const cancelType = 'task.cancel'

/**
 * @param node shown with the history
 * @returns what it did when it was cancelled, undefined when there is no such task or it has ended
 */
export async function cancelJob(
  tx: Tx,
  id: string,
  node: string,
): Promise<'waiting' | 'running' | undefined> {
  const job = sql.raw(`${bossSchema(tx.schema)}.job`)
  const row = await tx.first(sql<{ state: 'waiting' | 'running' }>`
    with target as (
      select j.name, j.id, j.state from ${job} j
      where j.id = ${id} and j.state <= 'active' and j.data ? 'actor' for update
    ), told as (
      update ${job} j set data = jsonb_set(j.data, '{cancelled}', 'true') from target t
      where t.state = 'active' and j.name = t.name and j.id = t.id
    ), ended as (
      delete from ${job} j using target t where t.state < 'active' and j.name = t.name and j.id = t.id
      returning j.*, gen_random_uuid() as run_id
    ), runs as (
      insert into ${tx.t('task_runs')} (finished_at, id, task_id, queue, actor, payload, uid, object, priority, attempt, final, state,
        status, error, node, created_at, started_at, duration_ms)
      select now(), run_id, id, name, data ->> 'actor', coalesce(data -> 'payload', '{}'), coalesce(data ->> 'uid', ''),
        nullif(data -> 'object', 'null'), priority, retry_count + 1, true, 'cancelled', 'cancelled', 'cancelled', ${node}, created_on,
        now(), 0
      from ended
    ), logs as (
      insert into ${tx.t('task_logs')} (at, seq, run_id, task_id, level, logger, event, attributes)
      select now(), 0, run_id, id, 'warning', 'authentik.tasks', 'task cancelled before it began', '{}' from ended
    )
    select case when state = 'active' then 'running' else 'waiting' end as state from target`)
  return row?.state
}
