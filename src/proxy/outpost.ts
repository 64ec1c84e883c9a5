// The proxy outpost: learns from Core what it protects, keeps that current, and answers requests. It owns no listener and no setting;
// it is entered by `handle` and `upgrade`, asks Core through its link and knows sessions through `Sessions`.
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { SecureContext } from 'node:tls'
import type { Registry } from 'prom-client'
import type { AccessLog } from '../http/access-log.ts'
import type { Readiness } from '../http/health.ts'
import type { TrustedPeers } from '../http/trusted-peers.ts'
import { errorText, type Log } from '../log.ts'
import { type Frame, type HelloArgs, instruction } from '../wire/frames.ts'
import { LinkError, type OutpostLink } from '../wire/link.ts'
import type { OutpostInstance } from '../wire/outpost.ts'
import { createRedemptions } from './callback.ts'
import { createCertificates } from './certificates.ts'
import { type Configuration, emptyConfiguration, loadConfiguration } from './configuration.ts'
import { publicCoreOf } from './endpoints.ts'
import type { Parts } from './exchange.ts'
import { createForwarder } from './forward.ts'
import { createHeaderLogins } from './header-login.ts'
import { helloArgs } from './hello.ts'
import { logLevelOf } from './log-level.ts'
import { createOutpostMetrics } from './metrics.ts'
import { createMisconfigurationReport } from './misconfiguration.ts'
import { createRevocations, type Revocations } from './revocations.ts'
import { route, routeUpgrade } from './routes.ts'
import { buildServing, type Serving } from './serving.ts'
import type { Sessions } from './sessions/sessions.ts'
import { createStartUp } from './start-up.ts'
import { createTunnels } from './upgrade.ts'

export interface OutpostOptions {
  link: OutpostLink
  embedded: boolean
  /** Called once, with what Core says about this outpost. A `BackendError` about Core's value is asked again, any other error ends `start`. */
  sessions: Sessions | ((instance: OutpostInstance) => Sessions | Promise<Sessions>)
  /** standalone: address browsers use for Core when it differs (AUTHENTIK_HOST_BROWSER); embedded: public address of Core, used when the outpost's `authentik_host` is empty */
  browserUrl?: string
  /** embedded: whether Core answers to this host itself */
  isCoreHost?: (host: string) => boolean
  trusted: TrustedPeers
  version: string
  build?: string
  /** id of this process; default random */
  instanceId?: string
  log: Log
  accessLog: AccessLog
  registry: Registry
  /** ms; answers that last longer are watched with their session. Default 2,000 */
  leaseMs?: number
  /** where the number of the last revocation is kept over restarts; for the filesystem store */
  revocationFile?: string
  now?: () => number
  /** ms; only for tests: delay after a push, and first pause between attempts to reach Core. Defaults: random up to 1,000, and 1,000 */
  pushDelayMs?: number
  retryMs?: number
}

export interface OutpostStatus {
  name: string
  connected: boolean
  applications: number
  failed: Configuration['failed']
  /** ms since epoch of the last applied configuration, null before the first */
  refreshedAt: number | null
  revision: number
}

export interface Outpost {
  /** Resolves when the first configuration serves; until then requests get 503. @throws LinkError of kind `no-outpost`, or what `sessions` threw */
  start(): Promise<void>
  /** @returns false when the request is not the outpost's (embedded: Core answers it) */
  handle(req: IncomingMessage, res: ServerResponse): boolean
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): boolean
  /** Certificate of the application with this name; undefined when there is none. */
  sni(servername: string): SecureContext | undefined
  ready(): Promise<Readiness>
  status(): OutpostStatus
  /** Fetches the configuration now. Never rejects; a failure is logged and the last configuration serves on. */
  refresh(): Promise<void>
  /** First step of a stop: ends open tunnels, so that a draining listener need not wait for them. */
  drain(): void
  /** Ends everything the outpost opened, its link and sessions included. */
  close(): Promise<void>
}

/** Creates an outpost; nothing happens before `start`. */
export function createOutpost(options: OutpostOptions): Outpost {
  const { link, embedded, log, accessLog } = options
  const now = options.now ?? Date.now
  const stop = new AbortController()
  const instanceId = options.instanceId ?? randomUUID()
  const metrics = createOutpostMetrics({
    registry: options.registry,
    version: options.version,
    build: options.build ?? '',
  })
  const appLog = log.child('authentik.outpost.proxyv2.application')
  const certificates = createCertificates({ link, log })
  const tunnels = createTunnels()
  const forwarder = createForwarder({ watchAfterMs: options.leaseMs ?? 2000 })
  const pushDelayMs = options.pushDelayMs ?? Math.floor(Math.random() * 1000)
  const startUp = createStartUp({
    ...{ link, log, sessions: options.sessions },
    retryMs: options.retryMs ?? 1000,
    signal: stop.signal,
    onProblem: text => {
      problem = text
    },
  })
  let instance: OutpostInstance | null = null
  let parts: Parts | null = null
  let revocations: Revocations | null = null
  let configuration = emptyConfiguration
  let serving: Serving | null = null
  let problem = 'Core has not answered yet'
  let connected = false
  let refreshedAt: number | null = null
  let revision = 0
  let announced = 0
  let running: Promise<boolean> | null = null
  let again = false
  let timer: NodeJS.Timeout | null = null
  let pushed: NodeJS.Timeout | null = null

  return {
    async start() {
      const first = await startUp.untilAnswered(
        () => link.instance(),
        'Failed to fetch outpost configuration',
      )
      instance = first
      metrics.named(first)
      const sessions = await startUp.openSessions(first)
      const headerLogins = createHeaderLogins({ link, sessions, log: appLog, now })
      parts = {
        ...{ link, sessions, headerLogins, forwarder, metrics, accessLog, now },
        trusted: options.trusted,
        redemptions: createRedemptions(),
        log: appLog,
        reportMisconfiguration: createMisconfigurationReport({
          link,
          log,
          now,
          outpost: () => instance?.name ?? '',
        }),
      }
      revocations = createRevocations({
        sessions,
        headerLogins,
        link,
        log,
        now,
        file: options.revocationFile,
      })
      log.info('Outpost mode', { embedded })
      link.open(first, { hello, onFrame, onConnect, onDisconnect })
      await startUp.untilAnswered(async () => {
        if (!(await refreshOnce())) throw new LinkError('unreachable', problem)
      }, 'Failed to load providers')
    },
    handle: (req, res) => route(serving, req, res, embedded),
    upgrade: (req, socket, head) => routeUpgrade(serving, req, socket, head, embedded),
    sni: servername => serving?.certificates.get(servername.toLowerCase()),
    async ready() {
      const checks: Record<string, string> = { configuration: serving === null ? problem : 'ok' }
      if (parts !== null) checks.sessions = await parts.sessions.check().then(() => 'ok', errorText)
      return { ok: Object.values(checks).every(text => text === 'ok'), checks }
    },
    status: () => ({
      ...{ connected, refreshedAt, revision },
      name: instance?.name ?? '',
      applications: configuration.loaded.size,
      failed: configuration.failed,
    }),
    async refresh() {
      await refreshOnce()
    },
    drain: () => tunnels.close(),
    async close() {
      stop.abort()
      for (const pending of [timer, pushed]) if (pending !== null) clearTimeout(pending)
      tunnels.close()
      await running?.catch(() => {})
      revocations?.close()
      await link.close()
      await forwarder.close()
      await parts?.sessions.close()
    },
  }

  /** One refresh at a time; one asked for meanwhile follows at once. */
  async function refreshOnce(): Promise<boolean> {
    if (running !== null) {
      again = true
      return running
    }
    running = applyConfiguration().finally(() => {
      running = null
      if (again && !stop.signal.aborted) {
        again = false
        void refreshOnce()
      }
    })
    return running
  }

  async function applyConfiguration(): Promise<boolean> {
    if (parts === null) return false
    const target = announced
    try {
      const next = await link.instance()
      applyLevel(next)
      if (instance?.config.session_backend !== next.config.session_backend && !embedded)
        log.warning('session_backend changed in Core, it applies after a restart of the outpost')
      instance = next
      metrics.named(next)
      const compile = {
        outpostName: next.name,
        version: options.build ? `${options.version}.${options.build}` : options.version,
        core: publicCoreOf(next.config, options),
      }
      configuration = await loadConfiguration(configuration, { link, certificates, log: appLog, compile })
      swap(parts)
      revision = target
      refreshedAt = now()
      metrics.updated(refreshedAt)
      schedule(next.refresh_interval_s)
      return true
    } catch (error) {
      problem = errorText(error)
      if (refreshedAt !== null && !stop.signal.aborted)
        log.warning('Failed to refresh, the last configuration serves on', {
          error: problem,
          applications: configuration.loaded.size,
          refreshed_at: new Date(refreshedAt).toISOString(),
        })
      schedule(instance?.refresh_interval_s ?? 0)
      return false
    }
  }

  function swap(shared: Parts): void {
    if (configuration.loaded.size === 0 && !embedded)
      log.warning('No providers assigned to this outpost, check outpost configuration in authentik')
    serving = buildServing(configuration, { parts: shared, tunnels, isCoreHost: options.isCoreHost })
  }

  function schedule(seconds: number): void {
    if (timer !== null) clearTimeout(timer)
    if (stop.signal.aborted) return
    const bounded = seconds > 0 ? Math.min(Math.max(seconds, 10), 86_400) : 300
    timer = setTimeout(() => {
      void refreshOnce()
      if (connected) void revocations?.connected().catch(() => {})
    }, bounded * 1000).unref()
  }

  function applyLevel({ config }: OutpostInstance): void {
    if (embedded) return
    const level = logLevelOf(config.log_level)
    log.setLevel(level)
    accessLog.setEnabled(level !== 'warning' && level !== 'error')
  }

  function hello(): HelloArgs {
    const { version, build } = options
    return helloArgs({ version, build, instanceId, revision, lastRevocation: revocations?.last() ?? 0 })
  }

  function onFrame({ instruction: code, args }: Frame): void {
    if (code === instruction.triggerUpdate) {
      if (typeof args.revision === 'number') announced = Math.max(announced, args.revision)
      pushed ??= setTimeout(() => {
        pushed = null
        void refreshOnce()
      }, pushDelayMs).unref()
    } else if (code === instruction.sessionEnd) revocations?.receive(args)
    else if (code === instruction.providerSpecific && args.sub_type === 'logout') revocations?.receive(args)
  }

  function onConnect(): void {
    connected = true
    metrics.connected(true)
    log.info('Successfully connected websocket', { outpost: instance?.pk })
    revocations
      ?.connected()
      .catch(error => log.warning('sessions could not be checked', { error: errorText(error) }))
    if (refreshedAt !== null) void refreshOnce()
  }

  function onDisconnect(): void {
    connected = false
    metrics.connected(false)
    revocations?.disconnected()
  }
}
