// Which store an outpost's sessions are in, opened.
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Log } from '../log.ts'
import type { PgPool } from '../pg/pool.ts'
import { createPool } from '../pg/pool.ts'
import { chooseBackend, logBackend } from '../proxy/sessions/backend.ts'
import type { Sessions } from '../proxy/sessions/sessions.ts'
import { createSessions } from '../proxy/sessions/sessions.ts'
import type { SessionStore } from '../proxy/sessions/store.ts'
import { createFilesystemStore } from '../proxy/sessions/store-filesystem.ts'
import { createPostgresStore } from '../proxy/sessions/store-postgres.ts'
import type { Settings } from '../settings.ts'
import type { OutpostInstance } from '../wire/outpost.ts'
import { whenReachable } from './reachable.ts'

/** Sessions kept in memory during their lease, at most; the least recently used leave first. */
const maxEntries = 50_000
/** Standalone outposts share one small pool, whatever the number of their applications. */
const outpostPoolSize = 5

/** Sessions of the embedded outpost: Core's database, Core's pool. */
export async function openEmbeddedSessions(options: {
  settings: Settings
  pool: PgPool
  log: Log
}): Promise<Sessions> {
  const { settings, log } = options
  const schema = settings.get('AUTHENTIK_POSTGRESQL__DEFAULT_SCHEMA')
  const store = createPostgresStore({ pool: options.pool, schema })
  await store.prepare()
  logBackend(log, 'postgres', { database: settings.postgresTarget().database, schema })
  return createSessions({ store, leaseMs: leaseMs(settings), maxEntries, log })
}

/**
 * Sessions of a standalone outpost, where Core's configuration, else the environment, wants them.
 * @throws BackendError for an unknown value, PgError or Error when the store cannot be used
 */
export async function openStandaloneSessions(options: {
  settings: Settings
  instance: OutpostInstance
  log: Log
}): Promise<Sessions> {
  const { settings, instance, log } = options
  const { backend } = chooseBackend({
    fromCore: instance.config.session_backend,
    fromEnvironment: settings.get('AUTHENTIK_OUTPOSTS__SESSION_BACKEND'),
    embedded: false,
  })
  const store =
    backend === 'postgres'
      ? await openPostgresStore(settings, log)
      : createFilesystemStore({ directory: sessionDirectory(settings, instance.pk) })
  await store.prepare()
  if (backend === 'filesystem') logBackend(log, backend)
  return createSessions({ store, leaseMs: leaseMs(settings), maxEntries, log })
}

/** The store of a standalone outpost in PostgreSQL; closing it closes its pool. */
export async function openPostgresStore(settings: Settings, log: Log): Promise<SessionStore> {
  const schema = settings.get('AUTHENTIK_POSTGRESQL__DEFAULT_SCHEMA')
  await whenReachable(settings.postgresTarget, log)
  const pool = createPool({
    target: settings.postgresTarget,
    max: outpostPoolSize,
    applicationName: 'postern/proxy/pool',
    statementTimeoutMs: 2000,
    log,
  })
  logBackend(log, 'postgres', { database: settings.postgresTarget().database, schema })
  const store = createPostgresStore({ pool, schema })
  return {
    ...store,
    async close() {
      await store.close()
      await pool.close()
    },
  }
}

/** Folder of the filesystem store: the setting, else one of the outpost's own in the system's temporary folder. */
export function sessionDirectory(settings: Settings, outpostId: string): string {
  return settings.get('POSTERN_SESSION_DIR') || join(tmpdir(), `postern-outpost-${outpostId}`)
}

/** Folder for what an outpost keeps before Core has told it who it is: found again by its token, which the name does not give away. */
export function outpostDirectory(settings: Settings): string {
  const name = createHash('sha256').update(`postern outpost folder ${settings.get('AUTHENTIK_TOKEN')}`)
  return (
    settings.get('POSTERN_SESSION_DIR') ||
    join(tmpdir(), `postern-outpost-${name.digest('hex').slice(0, 16)}`)
  )
}

function leaseMs(settings: Settings): number {
  return settings.get('POSTERN_SESSION_LEASE') * 1000
}
