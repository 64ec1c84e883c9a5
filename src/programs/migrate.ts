// `postern migrate`: bring the database up to date and end; for deployments whose programs start with POSTERN_MIGRATE=off.
import type { Log } from '../log.ts'
import { errorText } from '../log.ts'
import type { Settings } from '../settings.ts'
import { migrateDatabase } from './database.ts'
import { targetsOf } from './server.ts'

/** @returns exit code */
export async function runMigrate(settings: Settings, log: Log): Promise<number> {
  try {
    const applied = await migrateDatabase(targetsOf(settings), log)
    process.stdout.write(
      applied.length === 0 ? 'The database is up to date.\n' : `Applied migrations ${applied.join(', ')}.\n`,
    )
    return 0
  } catch (error) {
    log.error('migration failed', { error: errorText(error) })
    return 1
  }
}
