import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { visibleTo } from '../api/visible.sql.ts'
import type { Principal } from '../sessions/principal.ts'

export interface HostClaim {
  id: number
  external_host: string
  /** whether the principal may change that provider */
  changeable: boolean
}

/** Proxy providers whose external host contains the name; the caller parses the URLs. */
export async function findHostClaims(
  db: Queryable,
  principal: Principal,
  hostname: string,
): Promise<HostClaim[]> {
  return db.rows<HostClaim>(sql`
    select p.provider_id as id, p.external_host,
      ${visibleTo(db, principal, 'authentik_providers_proxy.change_proxyprovider', sql`p.provider_id`)} as changeable
    from ${db.t('proxy_providers')} p where strpos(lower(p.external_host), ${hostname.toLowerCase()}) > 0`)
}

export async function isBrandDomain(db: Queryable, hostname: string): Promise<boolean> {
  const found = await db.first(sql`
    select from ${db.t('brands')} where not is_default and lower(domain) = ${hostname.toLowerCase()}`)
  return found !== undefined
}
