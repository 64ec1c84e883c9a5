import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

export interface WebCertificateRow {
  domain: string
  is_default: boolean
  fingerprint: string
  certificate_pem: string
  private_key_sealed: Buffer
}

/** Certificates of brands, those with a private key. */
export async function findWebCertificates(db: Queryable): Promise<WebCertificateRow[]> {
  return db.rows<WebCertificateRow>(sql`
    select b.domain, b.is_default, c.fingerprint_sha256 as fingerprint, c.certificate_pem, c.private_key_sealed
    from ${db.t('brands')} b join ${db.t('certificate_keypairs')} c on c.id = b.web_certificate_id
    where c.private_key_sealed is not null`)
}
