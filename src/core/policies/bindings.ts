// May this user have this application, flow or stage? Users and groups bound to it decide; nobody is above them, superusers neither.
import type { Queryable } from '../../pg/db.ts'
import type { Principal } from '../sessions/principal.ts'
import { judgeTarget, type PolicyMode } from './bindings.sql.ts'

export interface Verdict {
  passing: boolean
  /** sentences for the user; without a policy that words them there are none */
  messages: string[]
}

/**
 * One statement. A target without bindings is open, one with bindings closed to everybody they do not name.
 * @param principal null = nobody is signed in
 * @param targetId id of an application, flow or flow-stage binding
 * @param mode its `policy_engine_mode`
 * @throws the database's error; a caller that cannot ask has no yes
 */
export async function mayAccess(
  db: Queryable,
  principal: Pick<Principal, 'user'> | null,
  targetId: string,
  mode: PolicyMode,
): Promise<Verdict> {
  return mayUserAccess(db, principal?.user.id ?? null, targetId, mode)
}

/** The same for a user of whom only the id is known (somebody who is signing in). */
export async function mayUserAccess(
  db: Queryable,
  userId: number | null,
  targetId: string,
  mode: PolicyMode,
): Promise<Verdict> {
  return { passing: await judgeTarget(db, userId, targetId, mode), messages: [] }
}
