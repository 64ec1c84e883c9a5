// The one call of everybody who changes what outposts are told: raises the revision of the outposts concerned in the same
// transaction and rings the bus after commit. A lost ring costs nothing: links state their revision on every connect.
import type { Tx } from '../../pg/db.ts'
import type { Core } from '../core.ts'
import { raiseRevisions } from './changed.sql.ts'

/** Bus message `{outpost, revision}`: processes with links of this outpost send TRIGGER_UPDATE. */
export const outpostUpdateMessage = 'outpost.update'

export type ChangedFor =
  | { outposts: string[] }
  | { providers: number[] }
  /** proxy providers and brands that use it */
  | { certificate: string }
  /** every outpost: brands, base settings */
  | 'all'

/** @returns ids of the outposts whose revision was raised */
export async function outpostsChanged(tx: Tx, core: Pick<Core, 'bus'>, changed: ChangedFor): Promise<string[]> {
  const raised = await raiseRevisions(tx, changed)
  tx.afterCommit(() => {
    for (const { id, revision } of raised) core.bus.publish(outpostUpdateMessage, { outpost: id, revision })
  })
  return raised.map(outpost => outpost.id)
}
