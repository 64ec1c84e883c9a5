// Waiting for a database at a start. A file of its own, so that a standalone outpost loads nothing of what Core does with one.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../log.ts'
import { openConnection } from '../pg/client.ts'
import { isUnavailable } from '../pg/errors.ts'
import type { PgTarget } from '../pg/target.ts'

const unreachableForMs = 60_000

/** @throws PgError once the cause is one that waiting does not heal, or after 60 s */
export async function whenReachable(target: () => PgTarget, log: Log): Promise<void> {
  const giveUpAt = Date.now() + unreachableForMs
  for (let pause = 250; ; pause = Math.min(pause * 2, 5000)) {
    try {
      const connection = await openConnection(target(), { applicationName: 'postern-start' })
      connection.drop()
      return
    } catch (error) {
      if (!isUnavailable(error) || Date.now() + pause > giveUpAt) throw error
      log.warning('waiting for PostgreSQL', { error })
      await sleep(pause)
    }
  }
}
