// The end of access, in one place: Core sessions, the outposts' sessions and the record for outposts that are away end in one
// transaction; the message to outposts follows the commit. Whoever logs out, deactivates, resets or deletes calls this.
import type { Bus } from '../../pg/bus.ts'
import type { Tx } from '../../pg/db.ts'
import { sha256 } from '../secrets.ts'
import { sidOf } from './cookie.ts'
import {
  deleteHoldings,
  deleteProxySessions,
  deleteSessionRows,
  type Holding,
  insertRevocations,
  revokeRefreshTokens,
  sessionIdsOf,
} from './revoke.sql.ts'

/** What a process tells the others after a revocation: the row of `revocations` to read and forward. */
export const sessionEndMessage = 'session.end'

export interface Revocation {
  id: number
  /** `sid` of the session, or empty when what `userUid` has, what is open at `clientId`, or both together ended */
  sessionId: string
}

/** Ends the given Core sessions with all that hangs on them. @returns one revocation per session that existed */
export async function endSessions(tx: Tx, bus: Bus, sessionIds: string[]): Promise<Revocation[]> {
  const sids = (await deleteSessionRows(tx, sessionIds)).map(sidOf)
  if (sids.length === 0) return []
  await deleteProxySessions(tx, { sidHashes: sids.map(sha256) })
  return announce(
    tx,
    bus,
    await insertRevocations(
      tx,
      sids.map(sessionId => ({ sessionId })),
    ),
  )
}

/**
 * Ends everything of a user: every Core session, refresh token and outpost session (header logins included).
 * @param except a session of his own that stays, and with it his refresh tokens and header logins
 * @returns the revocation of the user, if all of him ends, then one per session, for outposts that know only those
 */
export async function endUserAccess(
  tx: Tx,
  bus: Bus,
  user: { id: number; uid: string },
  except?: string,
): Promise<Revocation[]> {
  const ids = (await sessionIdsOf(tx, user.id)).filter(id => id !== except)
  if (except !== undefined) return endSessions(tx, bus, ids)
  const sids = (await deleteSessionRows(tx, ids)).map(sidOf)
  await revokeRefreshTokens(tx, user.id)
  await deleteProxySessions(tx, { userHash: sha256(user.uid) })
  const ended = [{ userUid: user.uid }, ...sids.map(sessionId => ({ sessionId }))]
  return announce(tx, bus, await insertRevocations(tx, ended))
}

/** Ends the outposts' sessions of one Core session, which itself goes on. @param sid of the Core session */
export async function endOutpostSessions(tx: Tx, bus: Bus, sid: string): Promise<void> {
  await deleteProxySessions(tx, { sidHashes: [sha256(sid)] })
  announce(tx, bus, await insertRevocations(tx, [{ sessionId: sid }]))
}

/** Ends every outpost session of a provider (deleted, cookie secret changed). */
export async function endProviderAccess(tx: Tx, bus: Bus, clientId: string): Promise<Revocation> {
  await deleteProxySessions(tx, { clientId })
  const [revocation] = announce(tx, bus, await insertRevocations(tx, [{ clientId }]))
  return revocation!
}

/** Ends what each of the users has open at the provider beside him: tokens and outpost sessions. @returns one revocation each */
export async function endUsersAtProviders(tx: Tx, bus: Bus, holdings: Holding[]): Promise<Revocation[]> {
  if (holdings.length === 0) return []
  const hashes = holdings.map(({ userUid }) => sha256(userUid))
  await deleteHoldings(tx, holdings, hashes)
  const ended = holdings.map(({ userUid, clientId }) => ({ userUid, clientId }))
  return announce(tx, bus, await insertRevocations(tx, ended))
}

function announce(tx: Tx, bus: Bus, revocations: Revocation[]): Revocation[] {
  tx.afterCommit(() => {
    for (const { id } of revocations) bus.publish(sessionEndMessage, { id })
  })
  return revocations
}
