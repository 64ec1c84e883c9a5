// `postern migrate`: bring the database up to date and end; for deployments whose programs start with POSTERN_MIGRATE=off.
import type { Log } from '../log.ts'
import { errorText } from '../log.ts'
import { lockEffects, type PlannedMigration, planMigrations } from '../pg/migration-plan.ts'
import { loadMigrations } from '../pg/migrations.ts'
import type { Settings } from '../settings.ts'
import { version } from '../version.ts'
import { migrateDatabase, migrationsDirectory } from './database.ts'
import { targetsOf } from './server.ts'

/** With `--plan` it only says what would run. @returns exit code */
export async function runMigrate(settings: Settings, log: Log, words: string[]): Promise<number> {
  const unknown = words.find(word => word !== '--plan')
  if (unknown !== undefined) {
    process.stderr.write(`postern migrate: there is no option "${unknown}"; known: --plan\n`)
    return 2
  }
  try {
    if (words.includes('--plan')) {
      process.stdout.write(await plan(settings))
      return 0
    }
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

async function plan(settings: Settings): Promise<string> {
  const planned = await planMigrations({
    target: settings.directTarget(),
    schema: settings.get('AUTHENTIK_POSTGRESQL__DEFAULT_SCHEMA'),
    migrations: await loadMigrations(migrationsDirectory),
    appVersion: version,
  })
  if (planned.length === 0) return 'The database is up to date.\n'
  return planned.map(describe).join('')
}

function describe({ title, inTransaction, statements, locks }: PlannedMigration): string {
  const way = inTransaction ? 'in one transaction' : 'statement by statement'
  const locked = locks.map(({ table, mode }) => `  locks ${table}: ${mode} (${lockEffects[mode]})\n`)
  return `${title}: ${statements} statements ${way}\n${locked.join('') || '  locks nothing that is there\n'}`
}
