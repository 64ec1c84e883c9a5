import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { embeddedOutpostManaged } from '../../wire/outpost.ts'

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

export async function addProviderToEmbeddedOutpost(db: Queryable, providerId: number): Promise<void> {
  await db.count(sql`
    insert into ${db.t('outpost_providers')} (outpost_id, provider_id)
    select id, ${providerId} from ${db.t('outposts')} where managed = ${embeddedOutpostManaged}
    on conflict do nothing`)
}

/** True when the outpost still exists. */
export async function outpostExists(db: Queryable, id: string): Promise<boolean> {
  return (await db.first(sql`select 1 from ${db.t('outposts')} where id = ${id}`)) !== undefined
}
