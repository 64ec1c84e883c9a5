// The end of access, in one place: Core sessions, the outposts' sessions and the record for outposts that are away end in one
// transaction; the message to outposts follows the commit. Whoever logs out, deactivates, resets or deletes calls this.
import type { Bus } from '../../pg/bus.ts'
import type { Tx } from '../../pg/db.ts'
import { sha256 } from '../secrets.ts'
import { sidOf } from './cookie.ts'
import {
  deleteProxySessions,
  deleteSessionRows,
  insertRevocation,
  revokeRefreshTokens,
  sessionIdsOf,
} from './revoke.sql.ts'

/** What a process tells the others after a revocation: the row of `revocations` to read and forward. */
export const sessionEndMessage = 'session.end'

export interface Revocation {
  id: number
  /** `sid` of the session, or empty when everything of `userUid` or of `clientId` ended */
  sessionId: string
}

/** Ends the given Core sessions with all that hangs on them. @returns one revocation per session that existed */
export async function endSessions(tx: Tx, bus: Bus, sessionIds: string[]): Promise<Revocation[]> {
  const ended = await deleteSessionRows(tx, sessionIds)
  const revocations: Revocation[] = []
  for (const session of ended) {
    const sid = sidOf(session.id)
    await deleteProxySessions(tx, { sidHash: sha256(sid) })
    revocations.push({ id: await insertRevocation(tx, { sessionId: sid }), sessionId: sid })
  }
  announce(tx, bus, revocations)
  return revocations
}

/**
 * Ends everything of a user: every Core session, refresh token and outpost session (header logins included).
 * @param except a session of his own that stays, and with it his refresh tokens and header logins
 */
export async function endUserAccess(
  tx: Tx,
  bus: Bus,
  user: { id: number; uid: string },
  except?: string,
): Promise<Revocation[]> {
  const ids = (await sessionIdsOf(tx, user.id)).filter(id => id !== except)
  if (except !== undefined) return endSessions(tx, bus, ids)
  await deleteSessionRows(tx, ids)
  await revokeRefreshTokens(tx, user.id)
  await deleteProxySessions(tx, { userHash: sha256(user.uid) })
  const revocation = { id: await insertRevocation(tx, { userUid: user.uid }), sessionId: '' }
  announce(tx, bus, [revocation])
  return [revocation]
}

/** Ends every outpost session of a provider (deleted, cookie secret changed). */
export async function endProviderAccess(tx: Tx, bus: Bus, clientId: string): Promise<Revocation> {
  await deleteProxySessions(tx, { clientId })
  const revocation = { id: await insertRevocation(tx, { clientId }), sessionId: '' }
  announce(tx, bus, [revocation])
  return revocation
}

function announce(tx: Tx, bus: Bus, revocations: Revocation[]): void {
  tx.afterCommit(() => {
    for (const { id } of revocations) bus.publish(sessionEndMessage, { id })
  })
}
