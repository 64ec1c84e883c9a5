// The event of a full task queue: somebody must see it who does not read logs.
import type { Db } from '../../pg/db.ts'
import { lockInTx } from '../../pg/lock.ts'
import { recordEvent } from '../events/record.ts'
import { wasToldOfQueue } from './queue-full.sql.ts'

/** Writes the event, at most once a minute in the whole installation. */
export async function recordFullQueue(db: Db, queue: string, maxQueued: number): Promise<void> {
  await db.transaction(async tx => {
    await lockInTx(tx, 'task', 'queue-full')
    if (await wasToldOfQueue(tx, queue)) return
    await recordEvent(tx, {
      action: 'system_exception',
      app: 'authentik.tasks',
      context: {
        message: `More than ${maxQueued} tasks wait in the queue "${queue}": changes that ask for another are refused.`,
        queue,
      },
    })
  })
}
