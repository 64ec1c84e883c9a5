import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import type { Principal } from '../sessions/principal.ts'
import { isOpen, judgedBindings } from './bindings.sql.ts'

export interface ApplicationRow {
  id: string
  slug: string
  name: string
  group: string
  provider_id: number | null
  policy_engine_mode: 'any' | 'all'
  open_in_new_tab: boolean
  meta_launch_url: string
  meta_icon: string
  meta_description: string
  meta_publisher: string
  meta_hide: boolean
  created_at: Date
  updated_at: Date
  provider_type: 'oauth2' | 'proxy' | null
  provider_name: string | null
  /** of a proxy provider */
  external_host: string | null
  /** first strictly matched redirect URI of an OAuth2 provider */
  first_redirect_uri: string | null
}

/** Columns of `ApplicationRow` for a statement with `a` (applications) and `applicationJoins`. */
function applicationColumns() {
  return sql`
    a.id, a.slug, a.name, a."group", a.provider_id, a.policy_engine_mode, a.open_in_new_tab, a.meta_launch_url, a.meta_icon,
    a.meta_description, a.meta_publisher, a.meta_hide, a.created_at, a.updated_at, p.type as provider_type, p.name as provider_name,
    x.external_host, case when p.type = 'oauth2' then (
      select r.uri ->> 'url' from jsonb_array_elements(o.redirect_uris) with ordinality r (uri, position)
      where r.uri ->> 'matching_mode' = 'strict' and coalesce(r.uri ->> 'redirect_uri_type', 'authorization') = 'authorization'
      order by r.position limit 1) end as first_redirect_uri`
}

function applicationJoins(db: Queryable) {
  return sql`
    left join ${db.t('providers')} p on p.id = a.provider_id
    left join ${db.t('oauth2_providers')} o on o.provider_id = p.id
    left join ${db.t('proxy_providers')} x on x.provider_id = p.id`
}

/** One application with what its launch URL is made of, and whether it is open to the user. */
export async function findApplication(
  db: Queryable,
  principal: Pick<Principal, 'user'> | null,
  slug: string,
): Promise<(ApplicationRow & { open: boolean }) | undefined> {
  return db.first(sql`
    select ${applicationColumns()}, ${isOpen(sql`a.policy_engine_mode`)} as open
    from ${db.t('applications')} a ${applicationJoins(db)} ${judgedBindings(db, principal?.user.id ?? null, sql`a.id`)}
    where a.slug = ${slug}`)
}
