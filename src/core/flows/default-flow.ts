// Which flow serves a purpose on a host.
import type { Queryable } from '../../pg/db.ts'
import type { Principal } from '../sessions/principal.ts'
import { type BrandFlow, findDefaultFlow } from './default-flow.sql.ts'

export type Designation =
  | 'authentication'
  | 'authorization'
  | 'invalidation'
  | 'enrollment'
  | 'unenrollment'
  | 'recovery'
  | 'stage_configuration'

/** Purposes a brand may name a flow for. */
const brandFlows: Partial<Record<Designation, BrandFlow>> = {
  authentication: 'flow_authentication_id',
  invalidation: 'flow_invalidation_id',
  recovery: 'flow_recovery_id',
  unenrollment: 'flow_unenrollment_id',
}

/**
 * The brand's flow, else the first of the designation, by slug, whose policies pass.
 * @param hostname of the request, without port
 * @returns its slug, or undefined when there is none
 */
export function defaultFlow(
  db: Queryable,
  designation: Designation,
  hostname: string,
  principal: Pick<Principal, 'user'> | null,
): Promise<string | undefined> {
  return findDefaultFlow(db, {
    designation,
    brandFlow: brandFlows[designation] ?? null,
    hostname,
    userId: principal?.user.id ?? null,
  })
}
