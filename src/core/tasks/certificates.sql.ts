import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

export interface EndingCertificate {
  id: string
  name: string
  not_after: Date
  /** the smallest of the warnings that has come */
  days: number
}

/** Certificates of which the latest warning due has not been written yet; another certificate under the same id counts anew. */
export async function unwarnedCertificates(
  db: Queryable,
  days: readonly number[],
): Promise<EndingCertificate[]> {
  return await db.rows(sql<EndingCertificate>`
    select c.id, c.name, c.not_after, w.days from ${db.t('certificate_keypairs')} c
    cross join lateral (
      select min(d) as days from unnest(${[...days]}::int[]) as d where c.not_after <= now() + d * interval '1 day'
    ) w
    where w.days is not null and not exists (
      select from ${db.t('events')} e
      where e.action = 'configuration_warning' and e.context #>> '{model,pk}' = c.id::text
        and (e.context ->> 'expires_at')::timestamptz = date_trunc('milliseconds', c.not_after)
        and (e.context ->> 'warning_days')::int <= w.days)
    order by c.not_after`)
}
