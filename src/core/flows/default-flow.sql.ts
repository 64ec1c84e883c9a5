import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { brandOf } from '../pages/brand.sql.ts'
import { isOpen, judgedBindings } from '../policies/bindings.sql.ts'

export type BrandFlow =
  | 'flow_authentication_id'
  | 'flow_invalidation_id'
  | 'flow_recovery_id'
  | 'flow_unenrollment_id'

/** Slug of the flow the brand names, else of the first flow of the designation that is open to the user. */
export async function findDefaultFlow(
  db: Queryable,
  wanted: { designation: string; brandFlow: BrandFlow | null; hostname: string; userId: number | null },
): Promise<string | undefined> {
  const named = wanted.brandFlow === null ? sql`null::uuid` : sql`brand.${sql.id(wanted.brandFlow)}`
  const row = await db.first<{ slug: string }>(sql`
    select f.slug
    from ${db.t('flows')} f
    left join ${brandOf(db, wanted.hostname)} brand on true
    ${judgedBindings(db, wanted.userId, sql`f.id`)}
    where f.id = ${named} or (${named} is null and f.designation = ${wanted.designation} and ${isOpen(sql`f.policy_engine_mode`)})
    order by f.slug limit 1`)
  return row?.slug
}
