// What a process says of its database at `/-/health/ready/`.
import type { Readiness } from '../http/health.ts'
import { errorText } from '../log.ts'
import { schemaVersion } from '../pg/schema-version.ts'
import type { Database } from './database.ts'

const answerWithinMs = 1000

/**
 * Checks by name: `database` (it answers within a second), `schema` (it has what this program needs), `bus` (messages arrive).
 * With them the arithmetic of connections, as a fact that decides nothing.
 */
export async function databaseReadiness(database: Database): Promise<Required<Omit<Readiness, 'ok'>>> {
  const answered = await database.db.ping(answerWithinMs).then(() => 'ok', errorText)
  return {
    checks: {
      database: answered,
      schema: answered === 'ok' ? await schemaOf(database).catch(errorText) : 'not asked',
      bus: busOf(database),
    },
    facts: { connections: database.admission.budget().text },
  }
}

/**
 * True when all checks are `ok`. Messages decide nothing: a deaf process is late and not wrong, so it stays in service, and where there
 * is no direct connection they are asked for (`poll`).
 */
export function isReady(checks: Record<string, string>): boolean {
  return Object.entries(checks).every(([name, text]) => name === 'bus' || text === 'ok')
}

function busOf({ bus }: Database): string {
  if (!bus.healthy()) return 'degraded: messages wait for the next resync'
  return bus.way === 'poll' ? 'poll' : 'ok'
}

/** A newer schema is a rolling upgrade, and leaves us working; an older one is a database that was put back. */
async function schemaOf({ db, newestMigration }: Database): Promise<string> {
  const id = await schemaVersion(db, answerWithinMs)
  if (id >= newestMigration) return 'ok'
  return `migrated up to ${id}, and this program needs ${newestMigration}: run postern migrate`
}
