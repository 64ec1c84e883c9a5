// Background work in a process of its own; `npm start` does it inside.
import { registerSessionMetrics } from '../core/sessions/session-metrics.ts'
import { startWorkerTasks } from '../core/tasks.ts'
import { createTrustedPeers } from '../http/trusted-peers.ts'
import { registerTaskMetrics } from '../pg/tasks/metrics.ts'
import { version } from '../version.ts'
import { openCore } from './core-context.ts'
import { type Database, openDatabase } from './database.ts'
import { openMetrics } from './listeners.ts'
import { mailServerOf } from './mail-server.ts'
import { databaseReadiness, isReady } from './readiness.ts'
import { bootstrapOf, targetsOf } from './server.ts'
import type { Start } from './start-context.ts'

/** Starts a worker; resolves once it works. @throws what ends the start */
export async function startWorker({ settings, reread, log, shutdown }: Start): Promise<void> {
  let database: Database | undefined
  let state = 'not finished yet'
  let working = false
  const registry = await openMetrics({ settings, log, shutdown }, async () => {
    if (database === undefined) return { ok: false, checks: { start: state } }
    const { checks, facts } = await databaseReadiness(database)
    checks.tasks = working ? 'ok' : 'not started yet'
    return { ok: isReady(checks), checks, facts }
  })
  database = await openDatabase({
    targets: targetsOf(settings),
    role: 'worker',
    migrations: settings.get('POSTERN_MIGRATE') === 'off' ? 'check' : 'apply',
    registry,
    log,
    shutdown,
    replicasAnew: () => reread().replicaTargets(),
    tell: text => {
      state = text
    },
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
  registerSessionMetrics(registry, core)
  registerTaskMetrics(registry, core.db, { version, log })
  const { beat, leases } = database
  const tasks = await startWorkerTasks({
    ...{ core, beat, leases, mailServer: mailServerOf(settings) },
    maxQueued: settings.get('POSTERN_TASKS_MAX_QUEUED'),
  })
  shutdown.add('tasks', () => tasks.close())
  working = true
  log.info('worker is ready')
}
