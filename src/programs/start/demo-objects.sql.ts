import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

export async function findDemoProvider(
  db: Queryable,
  id: number,
): Promise<{ external_host: string; internal_host: string } | undefined> {
  return db.first(sql`
    select external_host, internal_host from ${db.t('proxy_providers')} where provider_id = ${id}`)
}

export async function slugIsTaken(db: Queryable, slug: string): Promise<boolean> {
  return (await db.first(sql`select 1 from ${db.t('applications')} where slug = ${slug}`)) !== undefined
}

/** True when the outpost still exists. */
export async function outpostExists(db: Queryable, id: string): Promise<boolean> {
  return (await db.first(sql`select 1 from ${db.t('outposts')} where id = ${id}`)) !== undefined
}
