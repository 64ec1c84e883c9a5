import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { type MediaAddresses, mediaAddresses } from '../media/media.sql.ts'
import { asked, containsText, equals } from './filters.sql.ts'
import type { Condition, Ordering, Table } from './resource.sql.ts'

export interface BrandRow {
  id: string
  domain: string
  is_default: boolean
  branding_title: string
  branding_logo: string
  branding_favicon: string
  branding_custom_css: string
  branding_default_flow_background: string
  flow_authentication_id: string | null
  flow_invalidation_id: string | null
  flow_recovery_id: string | null
  flow_unenrollment_id: string | null
  flow_user_settings_id: string | null
  flow_device_code_id: string | null
  default_application_id: string | null
  web_certificate_id: string | null
  client_certificates: string[]
  attributes: Record<string, unknown>
}

export interface BrandQuery {
  brand_uuid?: string
  branding_default_flow_background?: string
  branding_favicon?: string
  branding_logo?: string
  branding_title?: string
  client_certificates?: string[]
  default?: boolean
  domain?: string
  flow_authentication?: string
  flow_device_code?: string
  flow_invalidation?: string
  flow_recovery?: string
  flow_unenrollment?: string
  flow_user_settings?: string
  search?: string
  web_certificate?: string
}

export function brandTable(db: Queryable): Table {
  return { columns: sql`r.*`, from: sql`${db.t('brands')} r`, key: sql`r.id` }
}

export function brandConditions(_db: Queryable, q: BrandQuery): Condition[] {
  return asked([
    equals(sql`r.id`, q.brand_uuid),
    equals(sql`r.branding_default_flow_background`, q.branding_default_flow_background),
    equals(sql`r.branding_favicon`, q.branding_favicon),
    equals(sql`r.branding_logo`, q.branding_logo),
    equals(sql`r.branding_title`, q.branding_title),
    equals(sql`r.is_default`, q.default),
    equals(sql`r.domain`, q.domain),
    equals(sql`r.flow_authentication_id`, q.flow_authentication),
    equals(sql`r.flow_device_code_id`, q.flow_device_code),
    equals(sql`r.flow_invalidation_id`, q.flow_invalidation),
    equals(sql`r.flow_recovery_id`, q.flow_recovery),
    equals(sql`r.flow_unenrollment_id`, q.flow_unenrollment),
    equals(sql`r.flow_user_settings_id`, q.flow_user_settings),
    equals(sql`r.web_certificate_id`, q.web_certificate),
    q.client_certificates === undefined
      ? undefined
      : sql<boolean>`r.client_certificates && ${q.client_certificates}::uuid[]`,
    containsText([sql`r.domain`, sql`r.branding_title`], q.search),
  ])
}

export const brandOrdering: Ordering = {
  domain: sql`r.domain`,
  branding_title: sql`r.branding_title`,
  default: sql`r.is_default`,
  brand_uuid: sql`r.id`,
}

/** Takes the mark from whichever brand has it. */
export async function clearDefaultBrand(db: Queryable): Promise<void> {
  await db.count(sql`update ${db.t('brands')} set is_default = false, updated_at = now() where is_default`)
}

export interface CurrentBrandRow extends BrandRow {
  flow_authentication_slug: string | null
  flow_invalidation_slug: string | null
  flow_recovery_slug: string | null
  flow_unenrollment_slug: string | null
  flow_user_settings_slug: string | null
  flow_device_code_slug: string | null
  /** of the files its logo and icon name */
  files: MediaAddresses
}

/**
 * The brand of a host name: the longest domain that is the name or that the name ends in after a dot, else the default one.
 * @param hostname without port, lower case
 */
export async function findBrandFor(db: Queryable, hostname: string): Promise<CurrentBrandRow | undefined> {
  const slug = (column: string) =>
    sql`(select f.slug from ${db.t('flows')} f where f.id = ${sql.ref(`r.${column}_id`)}) as ${sql.id(`${column}_slug`)}`
  const slugs = [
    'flow_authentication',
    'flow_invalidation',
    'flow_recovery',
    'flow_unenrollment',
    'flow_user_settings',
    'flow_device_code',
  ].map(slug)
  return db.first<CurrentBrandRow>(sql`
    select r.*, ${sql.join(slugs)}, ${mediaAddresses(db, [sql`r.branding_logo`, sql`r.branding_favicon`])} as files
    from ${db.t('brands')} r
    where lower(r.domain) = ${hostname} or right(${hostname}, length(r.domain) + 1) = '.' || lower(r.domain) or r.is_default
    order by (lower(r.domain) = ${hostname} or right(${hostname}, length(r.domain) + 1) = '.' || lower(r.domain)) desc,
      length(r.domain) desc
    limit 1`)
}
