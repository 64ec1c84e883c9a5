// Background work in a process of its own; `npm start` does it inside.
import { startWorkerTasks } from '../core/tasks.ts'
import { createTrustedPeers } from '../http/trusted-peers.ts'
import { errorText } from '../log.ts'
import { registerTaskMetrics } from '../pg/tasks/metrics.ts'
import { version } from '../version.ts'
import { openCore } from './core-context.ts'
import { type Database, openDatabase } from './database.ts'
import { openMetrics } from './listeners.ts'
import { bootstrapOf, targetsOf } from './server.ts'
import type { Start } from './start-context.ts'

/** Starts a worker; resolves once it works. @throws what ends the start */
export async function startWorker({ settings, log, shutdown }: Start): Promise<void> {
  let database: Database | undefined
  const registry = await openMetrics({ settings, log, shutdown }, async () => {
    if (database === undefined) return undefined
    const text = await database.db.ping(1000).then(() => 'ok', errorText)
    return { ok: text === 'ok', checks: { database: text } }
  })
  database = await openDatabase({
    targets: targetsOf(settings),
    role: 'worker',
    migrations: settings.get('POSTERN_MIGRATE') === 'off' ? 'check' : 'apply',
    registry,
    log,
    shutdown,
  })
  const { core } = await openCore({
    settings,
    database,
    baseUrl: new URL(settings.get('POSTERN_BASE_URL')),
    secretKey: settings.get('AUTHENTIK_SECRET_KEY'),
    bootstrap: bootstrapOf(settings),
    trusted: createTrustedPeers([]),
    log,
    shutdown,
  })
  registerTaskMetrics(registry, core.db, { version, log })
  const tasks = await startWorkerTasks({ core, beat: database.beat, leases: database.leases })
  shutdown.add('tasks', () => tasks.close())
  log.info('worker is ready')
}
