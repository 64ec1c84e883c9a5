import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

/** Whether an event of the last minute says that the queue is full. */
export async function wasToldOfQueue(db: Queryable, queue: string): Promise<boolean> {
  const row = await db.first(sql`
    select 1 from ${db.t('events')} where created_at > now() - interval '1 minute' and action = 'system_exception'
      and app = 'authentik.tasks' and context ->> 'queue' = ${queue} limit 1`)
  return row !== undefined
}
