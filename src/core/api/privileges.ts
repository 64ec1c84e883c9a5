// Nobody hands out what he does not hold, and nobody acts on an account that may do more than himself.
import type { Queryable } from '../../pg/db.ts'
import { ApiError } from '../errors.ts'
import type { Principal } from '../sessions/principal.ts'
import type { PrivilegeSource } from './privileges.sql.ts'
import { givesMoreThanHeld } from './privileges.sql.ts'

/** @throws ApiError 403 when the groups (with their ancestry) or roles give more than the principal holds */
export async function requireHeld(
  db: Queryable,
  principal: Principal,
  source: Pick<PrivilegeSource, 'groups' | 'roles'>,
): Promise<void> {
  if ((source.groups ?? []).length + (source.roles ?? []).length === 0) return
  if (await givesMoreThanHeld(db, principal, source))
    throw new ApiError(403, 'This would hand out permissions that you do not have yourself.', {
      code: 'permission_denied',
    })
}

/** @throws ApiError 403 when one of the users may do more than the principal */
export async function requireNotAbove(db: Queryable, principal: Principal, userIds: number[]): Promise<void> {
  const others = userIds.filter(id => id !== principal.user.id)
  if (others.length === 0) return
  if (await givesMoreThanHeld(db, principal, { users: others }))
    throw new ApiError(403, 'This account has permissions that you do not have yourself.', {
      code: 'permission_denied',
    })
}
