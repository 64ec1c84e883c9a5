import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { type MediaAddresses, mediaAddresses } from '../media/media.sql.ts'

export interface BrandRow {
  /** false: no brand has this host, the default one answers */
  matched: boolean
  branding_title: string
  branding_logo: string
  branding_favicon: string
  branding_custom_css: string
  branding_default_flow_background: string
  attributes: Record<string, unknown>
  default_application: string | null
  setup_completed: boolean
  /** of the files its images name */
  files: MediaAddresses
}

/**
 * Sub-select with the one brand of a host: the longest domain that is the host or a parent of it, else the default brand.
 * @param hostname without port
 */
export function brandOf(db: Queryable, hostname: string) {
  return sql`(
    select b.*, m.matched from ${db.t('brands')} b
    cross join lateral (select lower(b.domain) = ${hostname}
      or right(${hostname}, length(b.domain) + 1) = '.' || lower(b.domain) as matched) m
    where m.matched or b.is_default
    order by m.matched desc, length(b.domain) desc limit 1)`
}

const images = [sql`b.branding_logo`, sql`b.branding_favicon`, sql`b.branding_default_flow_background`]

/** What every page needs to know about where it is shown. */
export async function findBrand(db: Queryable, hostname: string): Promise<BrandRow | undefined> {
  return db.first<BrandRow>(sql`
    select b.matched, b.branding_title, b.branding_logo, b.branding_favicon, b.branding_custom_css,
      b.branding_default_flow_background, b.attributes,
      (select a.slug from ${db.t('applications')} a where a.id = b.default_application_id) as default_application,
      coalesce((select i.setup_completed from ${db.t('installation')} i), false) as setup_completed,
      ${mediaAddresses(db, images)} as files
    from ${brandOf(db, hostname)} b`)
}
