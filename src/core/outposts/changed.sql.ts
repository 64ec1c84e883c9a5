import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import type { ChangedFor } from './changed.ts'

/** Raises the revisions of the outposts concerned; rows are locked in one order, so that two changes wait and never deadlock. */
export async function raiseRevisions(
  db: Queryable,
  changed: ChangedFor,
): Promise<{ id: string; revision: number }[]> {
  const rows = await db.rows<{ id: string; revision: string | number }>(sql`
    update ${db.t('outposts')} raised set revision = raised.revision + 1
    from (
      select o.id from ${db.t('outposts')} o where ${concerned(db, changed)} order by o.id for no key update
    ) locked
    where raised.id = locked.id returning raised.id, raised.revision`)
  return rows.map(row => ({ id: row.id, revision: Number(row.revision) }))
}

function concerned(db: Queryable, changed: ChangedFor) {
  if (changed === 'all') return sql`true`
  if ('outposts' in changed) return sql`o.id = any(${changed.outposts}::uuid[])`
  const link = db.t('outpost_providers')
  if ('providers' in changed)
    return sql`exists (select from ${link} l where l.outpost_id = o.id and l.provider_id = any(${changed.providers}::int[]))`
  return sql`(exists (
    select from ${link} l join ${db.t('proxy_providers')} p on p.provider_id = l.provider_id
    where l.outpost_id = o.id and p.certificate_id = ${changed.certificate})
    or (o.managed is not null and exists (select from ${db.t('brands')} b where b.web_certificate_id = ${changed.certificate})))`
}
