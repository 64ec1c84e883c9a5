// Core for production: identity provider, API and embedded outpost on one listener.
import type { Settings } from '../settings.ts'
import { type RunningCore, startCore } from './core.ts'
import { openDatabase } from './database.ts'
import { openMetrics } from './listeners.ts'
import type { Start } from './start-context.ts'

/** Starts Core; resolves once it serves. @throws what ends the start */
export async function startServer({ settings, reread, log, accessLog, shutdown }: Start): Promise<void> {
  let running: RunningCore | undefined
  let state = 'not finished yet'
  const registry = await openMetrics(
    { settings, log, shutdown },
    async () => running?.ready() ?? { ok: false, checks: { start: state } },
  )
  const database = await openDatabase({
    targets: targetsOf(settings),
    role: 'server',
    migrations: settings.get('POSTERN_MIGRATE') === 'off' ? 'check' : 'apply',
    registry,
    log,
    shutdown,
    replicasAnew: () => reread().replicaTargets(),
    tell: text => {
      state = text
    },
  })
  running = await startCore({
    settings,
    database,
    baseUrl: new URL(settings.get('POSTERN_BASE_URL')),
    secretKey: settings.get('AUTHENTIK_SECRET_KEY'),
    bootstrap: bootstrapOf(settings),
    registry,
    log,
    accessLog,
    shutdown,
    tasks: 'enqueue',
  })
  if (!running.setupCompleted)
    log.warning('the installation has no administrator password yet', {
      url: `${running.core.baseUrl.origin}/if/flow/initial-setup/`,
    })
  log.info('server is ready', { base_url: running.core.baseUrl.origin })
}

export function targetsOf(settings: Settings) {
  return {
    main: settings.postgresTarget,
    direct: settings.directTarget,
    schema: settings.get('AUTHENTIK_POSTGRESQL__DEFAULT_SCHEMA'),
    pooler: poolerOf(settings),
    replicas: settings.replicaTargets(),
    limits: {
      statementTimeoutMs: settings.get('POSTERN_STATEMENT_TIMEOUT') * 1000,
      lockTimeoutMs: settings.get('POSTERN_LOCK_TIMEOUT') * 1000,
      idleInTransactionTimeoutMs: settings.get('POSTERN_IDLE_IN_TRANSACTION_TIMEOUT') * 1000,
      maxLifetimeSeconds: lifetimeOf(settings.get('AUTHENTIK_POSTGRESQL__CONN_MAX_AGE')),
    },
  }
}

/** For the pool 0 means for ever. */
function lifetimeOf(seconds: number): number {
  return Number.isFinite(seconds) ? seconds : 0
}

/** The two old switches mean a transaction pooler; they do not know that one may be alone. */
function poolerOf(settings: Settings) {
  const said = settings.get('AUTHENTIK_POSTGRESQL__POOLER')
  const old =
    settings.get('AUTHENTIK_POSTGRESQL__USE_PGBOUNCER') || settings.get('AUTHENTIK_POSTGRESQL__USE_PGPOOL')
  return old && said !== 'transaction-only' ? 'transaction' : said
}

/** What the environment says about the first administrator. */
export function bootstrapOf(settings: Settings) {
  return {
    password: settings.get('AUTHENTIK_BOOTSTRAP_PASSWORD') || undefined,
    token: settings.get('AUTHENTIK_BOOTSTRAP_TOKEN') || undefined,
    email: settings.get('AUTHENTIK_BOOTSTRAP_EMAIL') || undefined,
  }
}
