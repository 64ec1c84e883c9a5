// `postern sessions import [folder]`: before switching an outpost's `session_backend` to postgres.
import type { Log } from '../log.ts'
import { errorText } from '../log.ts'
import { importSessions } from '../proxy/sessions/import.ts'
import type { Settings } from '../settings.ts'
import { openPostgresStore } from './sessions.ts'

/** @returns exit code */
export async function runSessions(settings: Settings, log: Log, words: string[]): Promise<number> {
  const [verb, given] = words
  const directory = given ?? settings.get('POSTERN_SESSION_DIR')
  if (verb !== 'import' || words.length > 2 || directory === '') {
    process.stderr.write(
      'usage: postern sessions import [folder]\n' +
        'Moves the live sessions of a filesystem outpost into the table proxy_sessions of AUTHENTIK_POSTGRESQL__*.\n' +
        'Without a folder, POSTERN_SESSION_DIR names it.\n',
    )
    return 2
  }
  try {
    const store = await openPostgresStore(settings, log)
    try {
      await store.prepare()
      const imported = await importSessions({ directory, to: store })
      process.stdout.write(`Imported ${imported} sessions from ${directory}.\n`)
    } finally {
      await store.close()
    }
    return 0
  } catch (error) {
    log.error('import failed', { error: errorText(error) })
    return 1
  }
}
