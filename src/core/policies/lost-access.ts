// Bindings, memberships and groups decide who may open an application. When they change, what those who may no longer open it have open
// at outposts ends in the transaction of the change. Only users who have something open are judged, in pages; the worker judges the same
// once more, for logins that were under way meanwhile, for bindings whose time is over, and for more users than one request may judge.
import type { Bus } from '../../pg/bus.ts'
import type { Db, Tx } from '../../pg/db.ts'
import { endUsersAtProviders } from '../sessions/revoke.ts'
import type { Candidate } from './lost-access.sql.ts'
import {
  deleteReviews,
  insertReview,
  judgeCandidates,
  listReviews,
  targetsOfEndedBindings,
} from './lost-access.sql.ts'

/** Whose access may have changed: everybody's to these applications (ids of anything else are passed over), or these users' to any. */
export type AccessScope = { applications: string[] } | { users: number[] }

const pageSize = 1000
/** Users judged in the transaction of the change; it takes a second at most. */
const directMax = 20_000
/** A code lives for a minute; redeeming it asks the bindings again. */
const loginSeconds = 70
/** The worker looks every minute; it may have been away for a while. */
const lookBackSeconds = 3600

/**
 * Ends what users have open at outposts and may not open any more. Call it in the transaction of the change, after the change.
 * @returns the newest revocation, if there is any: the receipts of its event are those of the last one told
 */
export async function accessChanged(
  tx: Tx,
  bus: Bus,
  scope: AccessScope,
): Promise<{ revocationId?: number }> {
  if (('users' in scope ? scope.users : scope.applications).length === 0) return {}
  await insertReview(tx, scope)
  let revocationId: number | undefined
  let after: Candidate | undefined
  for (let judged = 0; judged < directMax; judged += pageSize) {
    const page = await judgeCandidates(tx, scope, after, pageSize)
    revocationId = (await endRefused(tx, bus, page)) ?? revocationId
    after = page.at(-1)
    if (page.length < pageSize) break
  }
  return { revocationId }
}

/**
 * The worker's part. A transaction per page, so that nothing is held for long; what is done twice ends nothing twice.
 * @returns users judged, and how many of them lost something
 */
export async function reviewAccess(
  db: Db,
  bus: Bus,
  signal: AbortSignal,
): Promise<{ judged: number; ended: number }> {
  const reviews = await listReviews(db)
  const applications = [
    ...reviews.flatMap(review => review.applications),
    ...(await targetsOfEndedBindings(db, lookBackSeconds)),
  ]
  const users = reviews.flatMap(review => review.users)
  const done = { judged: 0, ended: 0 }
  for (const scope of [{ applications: [...new Set(applications)] }, { users: [...new Set(users)] }])
    if (Object.values(scope)[0]!.length > 0) await review(db, bus, scope, signal, done)
  if (!signal.aborted && reviews.length > 0)
    await deleteReviews(
      db,
      reviews.map(({ id }) => id),
      loginSeconds,
    )
  return done
}

async function review(
  db: Db,
  bus: Bus,
  scope: AccessScope,
  signal: AbortSignal,
  done: { judged: number; ended: number },
): Promise<void> {
  let after: Candidate | undefined
  while (!signal.aborted) {
    const page = await db.transaction(async tx => {
      const found = await judgeCandidates(tx, scope, after, pageSize)
      await endRefused(tx, bus, found)
      return found
    })
    done.judged += page.length
    done.ended += page.filter(({ open }) => !open).length
    if (page.length < pageSize) return
    after = page.at(-1)
  }
}

/** @returns the newest revocation */
async function endRefused(tx: Tx, bus: Bus, judged: Candidate[]): Promise<number | undefined> {
  const refused = judged.filter(({ open }) => !open)
  const revocations = await endUsersAtProviders(
    tx,
    bus,
    refused.map(one => ({
      userId: one.user_id,
      userUid: one.uid,
      providerId: one.provider_id,
      clientId: one.client_id,
    })),
  )
  return revocations.at(-1)?.id
}
