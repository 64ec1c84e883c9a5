import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { embeddedOutpostManaged } from '../../wire/outpost.ts'
import { visibleTo } from '../api/visible.sql.ts'
import type { Principal } from '../sessions/principal.ts'

/** An outpost with its account. @param id default: the embedded one */
export async function findOutpostAccount(
  db: Queryable,
  id: string | undefined,
): Promise<{ id: string; user_id: number } | undefined> {
  const which = id === undefined ? sql`managed = ${embeddedOutpostManaged}` : sql`id = ${id}`
  return db.first<{ id: string; user_id: number }>(
    sql`select id, user_id from ${db.t('outposts')} where ${which}`,
  )
}

export interface PairRow {
  certificate_pem: string
  private_key_sealed: Buffer | null
  fingerprint_sha256: string
}

/** A key pair of which the caller may see everything. */
export async function findWholePair(
  db: Queryable,
  principal: Principal,
  id: string,
): Promise<PairRow | undefined> {
  const permissions = [
    'view_certificatekeypair',
    'view_certificatekeypair_certificate',
    'view_certificatekeypair_key',
  ]
  const held = permissions.map(name => visibleTo(db, principal, `authentik_crypto.${name}`, sql`k.id`))
  return db.first<PairRow>(sql`
    select k.certificate_pem, k.private_key_sealed, k.fingerprint_sha256 from ${db.t('certificate_keypairs')} k
    where k.id = ${id} and ${sql.join(held, sql` and `)}`)
}
