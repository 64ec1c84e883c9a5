import type { RawBuilder } from 'kysely'
import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { embeddedOutpostManaged } from '../../wire/outpost.ts'

/** `managed` of the role that holds an outpost's permissions, as SQL over its id. */
export function roleOf(outpostId: RawBuilder<unknown>) {
  return sql`('goauthentik.io/outpost/role/' || (${outpostId})::text)`
}

/**
 * Gives the roles of these outposts exactly what they need, writing only the difference: view on the outpost, adding of events,
 * view on each provider and its certificate; the embedded one also sees brands with a web certificate, and that certificate.
 * @returns number of rows written
 */
export async function syncPermissions(db: Queryable, outpostIds: string[]): Promise<number> {
  const certificate = sql`(values ('authentik_crypto.view_certificatekeypair'),
      ('authentik_crypto.view_certificatekeypair_certificate'), ('authentik_crypto.view_certificatekeypair_key')) as c (permission)`
  const row = await db.first<{ changed: number }>(sql`
    with o as (
      select x.id, x.managed, r.id as role_id from ${db.t('outposts')} x
      join ${db.t('roles')} r on r.managed = ${roleOf(sql`x.id`)} where x.id = any(${outpostIds}::uuid[])
    ), attached as (
      select o.role_id, p.provider_id, p.certificate_id from o
      join ${db.t('outpost_providers')} l on l.outpost_id = o.id
      join ${db.t('proxy_providers')} p on p.provider_id = l.provider_id
    ), branded as (
      select o.role_id, b.id as brand_id, b.web_certificate_id from o
      join ${db.t('brands')} b on b.web_certificate_id is not null where o.managed = ${embeddedOutpostManaged}
    ), wanted as (
      select role_id, 'authentik_outposts.view_outpost' as permission, id::text as object_id from o
      union all select role_id, 'authentik_events.add_event', null from o
      union select role_id, 'authentik_providers_proxy.view_proxyprovider', provider_id::text from attached
      union select role_id, c.permission, certificate_id::text from attached cross join ${certificate}
        where certificate_id is not null
      union select role_id, 'authentik_core.view_brand', brand_id::text from branded
      union select role_id, c.permission, web_certificate_id::text from branded cross join ${certificate}
    ), taken as (
      delete from ${db.t('role_permissions')} rp using o where rp.role_id = o.role_id and not exists (
        select from wanted w where w.role_id = rp.role_id and w.permission = rp.permission
          and w.object_id is not distinct from rp.object_id)
      returning 1
    ), given as (
      insert into ${db.t('role_permissions')} (role_id, permission, object_id)
      select w.role_id, w.permission, w.object_id from wanted w where not exists (
        select from ${db.t('role_permissions')} rp where w.role_id = rp.role_id and w.permission = rp.permission
          and w.object_id is not distinct from rp.object_id)
      on conflict do nothing returning 1
    )
    select ((select count(*) from taken) + (select count(*) from given))::int as changed`)
  return row?.changed ?? 0
}
