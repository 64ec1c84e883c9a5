// Who may put users into groups and give roles, wherever it is written: user.groups, group.users, add_user, group.parents,
// group.roles, user.roles. What changes hands, in either direction, must be held by who moves it.
import { permissionDenied } from '../errors.ts'
import type { WriteContext } from './audit.ts'
import { requireHeld } from './privileges.ts'
import { holdsOnAll, requireReferences } from './references.sql.ts'

const groupReference = { table: 'groups', permission: 'authentik_core.view_group', type: 'uuid' } as const
const roleReference = { table: 'roles', permission: 'authentik_rbac.view_role', type: 'uuid' } as const

/**
 * A user's (or a group's) groups change from `was` to `is`.
 * @throws ApiError 400 for a group the caller may not view, 403 for one he may not fill or empty, or that gives more than he holds
 */
export async function requireMembershipChange(
  context: WriteContext,
  was: string[],
  is: string[],
  field = 'groups',
): Promise<void> {
  const { tx, principal } = context
  const { added, removed } = difference(was, is)
  await requireReferences(tx, principal, field, groupReference, added)
  if (
    !(await holdsOnAll(tx, principal, 'authentik_core.add_user_to_group', added)) ||
    !(await holdsOnAll(tx, principal, 'authentik_core.remove_user_from_group', removed))
  )
    throw permissionDenied()
  await requireHeld(tx, principal, { groups: [...added, ...removed] })
}

/** Roles of a user or group change from `was` to `is`. @throws ApiError as above; a role needs `change_role` */
export async function requireRoleChange(context: WriteContext, was: string[], is: string[]): Promise<void> {
  const { tx, principal } = context
  const { added, removed } = difference(was, is)
  await requireReferences(tx, principal, 'roles', roleReference, added)
  if (!(await holdsOnAll(tx, principal, 'authentik_rbac.change_role', [...added, ...removed])))
    throw permissionDenied()
  await requireHeld(tx, principal, { roles: [...added, ...removed] })
}

/** What `is` has and `was` has not, and the other way round. */
export function difference<T>(was: T[], is: T[]): { added: T[]; removed: T[] } {
  return {
    added: [...new Set(is)].filter(id => !was.includes(id)),
    removed: was.filter(id => !is.includes(id)),
  }
}
