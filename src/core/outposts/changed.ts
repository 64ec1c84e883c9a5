// The one call of everybody who changes what outposts are told: raises the revision of the outposts concerned, brings what they may
// see up to date, both in the same transaction, and rings the bus after commit. A lost ring costs nothing: links state their revision
// on every connect.
import type { Tx } from '../../pg/db.ts'
import type { Core } from '../core.ts'
import { raiseRevisions } from './changed.sql.ts'
import { syncPermissions } from './permissions.sql.ts'

/** Bus message `{outpost, revision}`: processes with links of this outpost send TRIGGER_UPDATE. */
export const outpostUpdateMessage = 'outpost.update'

export type ChangedFor =
  | { outposts: string[] }
  | { providers: number[] }
  /** proxy providers and brands that use it */
  | { certificate: string }
  /** every outpost: brands, base settings */
  | 'all'

/**
 * Call it after the change itself, and before a provider or certificate is deleted: afterwards nothing tells who used it.
 * @returns ids of the outposts whose revision was raised
 */
export async function outpostsChanged(
  tx: Tx,
  core: Pick<Core, 'bus'>,
  changed: ChangedFor,
): Promise<string[]> {
  const raised = await raiseRevisions(tx, changed)
  const ids = raised.map(outpost => outpost.id)
  if (ids.length > 0) await syncPermissions(tx, ids)
  tx.afterCommit(() => {
    for (const { id, revision } of raised) core.bus.publish(outpostUpdateMessage, { outpost: id, revision })
  })
  return ids
}
