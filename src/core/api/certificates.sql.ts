import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { asked, containsText, equals, isNull, oneOf } from './filters.sql.ts'
import type { Condition, Ordering, Table } from './resource.sql.ts'

export interface CertificateRow {
  id: string
  name: string
  managed: string | null
  fingerprint_sha256: string
  fingerprint_sha1: string
  subject: string
  key_type: string
  not_after: Date
  has_key: boolean
}

export interface CertificateQuery {
  has_key?: boolean
  key_type?: string[]
  managed?: string
  name?: string
  search?: string
}

export function certificateTable(db: Queryable): Table {
  return {
    key: sql`r.id`,
    from: sql`${db.t('certificate_keypairs')} r`,
    columns: sql`r.id, r.name, r.managed, r.fingerprint_sha256, r.fingerprint_sha1, r.subject, r.key_type, r.not_after,
      r.private_key_sealed is not null as has_key`,
  }
}

export function certificateConditions(_db: Queryable, q: CertificateQuery): Condition[] {
  return asked([
    equals(sql`r.name`, q.name),
    equals(sql`r.managed`, q.managed),
    oneOf(sql`r.key_type`, q.key_type, 'text'),
    isNull(sql`r.private_key_sealed`, q.has_key === undefined ? undefined : !q.has_key),
    containsText([sql`r.name`, sql`r.subject`], q.search),
  ])
}

export const certificateOrdering: Ordering = {
  name: sql`r.name`,
  cert_expiry: sql`r.not_after`,
  key_type: sql`r.key_type`,
  pk: sql`r.id`,
}

/** The material itself; who may have it is the caller's business. */
export async function certificateMaterial(
  db: Queryable,
  id: string,
): Promise<{ certificate_pem: string; private_key_sealed: Buffer | null }> {
  const row = await db.first<{ certificate_pem: string; private_key_sealed: Buffer | null }>(sql`
    select certificate_pem, private_key_sealed from ${db.t('certificate_keypairs')} where id = ${id}`)
  return row!
}
