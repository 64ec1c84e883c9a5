// Background work: in a process of its own, or inside `npm start`.
import type { Core } from '../core/core.ts'
import { sweepExpired } from '../core/outposts/housekeeping.ts'
import { createMetricsListener, createRegistry } from '../http/metrics.ts'
import { createTrustedPeers } from '../http/trusted-peers.ts'
import { errorText, type Log } from '../log.ts'
import { openCore } from './core-context.ts'
import { type Database, openDatabase } from './database.ts'
import { bootstrapOf, targetsOf } from './server.ts'
import type { Shutdown } from './shutdown.ts'
import type { Start } from './start-context.ts'

const sweepEveryMs = 60_000

/** Starts a worker; resolves once it works. @throws what ends the start */
export async function startWorker({ settings, log, shutdown }: Start): Promise<void> {
  const registry = createRegistry()
  let database: Database | undefined
  const metrics = await createMetricsListener({
    listen: settings.get('AUTHENTIK_LISTEN__METRICS'),
    setting: 'AUTHENTIK_LISTEN__METRICS',
    registry,
    ready: async () => {
      const text = await (database?.db.ping(1000).then(() => 'ok', errorText) ?? 'not opened yet')
      return { ok: text === 'ok', checks: { database: text } }
    },
    log,
  })
  shutdown.add('metrics listener', () => metrics.close({ graceMs: 0 }))
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
  startWork({ core, log, shutdown })
  log.info('worker is ready')
}

/** Begins the background work of this process; it ends with `shutdown`. */
export function startWork({ core, log, shutdown }: { core: Core; log: Log; shutdown: Shutdown }): void {
  const stop = new AbortController()
  let running: Promise<void> = Promise.resolve()
  const sweep = () => {
    running = sweepExpired(core.db, { signal: stop.signal }).then(
      () => {},
      error => log.warning('clean-up failed, the next one tries again', { error }),
    )
  }
  const timer = setInterval(sweep, sweepEveryMs)
  sweep()
  shutdown.add('background work', async () => {
    clearInterval(timer)
    stop.abort()
    await running
  })
}
