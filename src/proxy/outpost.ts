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
import type { Configuration } from './configuration.ts'
import type { Parts } from './exchange.ts'
import { createForwarder } from './forward.ts'
import { createHeaderLogins } from './header-login.ts'
import { helloArgs } from './hello.ts'
import type { ConfigurationFile, KeptConfiguration } from './kept-configuration.ts'
import { logLevelOf } from './log-level.ts'
import { createOutpostMetrics } from './metrics.ts'
import { createMisconfigurationReport } from './misconfiguration.ts'
import { createRefresher, type Refresher } from './refresher.ts'
import { createRevocations, type Revocations } from './revocations.ts'
import { route, routeUpgrade } from './routes.ts'
import { buildServing } from './serving.ts'
import type { Sessions } from './sessions/sessions.ts'
import { createStartUp } from './start-up.ts'
import { createTunnels } from './upgrade.ts'
import { type UpstreamLimits, upstreamLimits } from './upstream-limits.ts'

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
  /** forms up to this many bytes are sent again after a login (mode `proxy`); default 0: none */
  replayBytes?: number
  /** where the number of the last revocation is kept over restarts; asked only for the filesystem store, whose sessions outlive one */
  revocationFile?: (instance: OutpostInstance) => string
  /** where the last good configuration is kept for a start while Core is down; absent: nowhere */
  configurationFile?: ConfigurationFile
  now?: () => number
  /** default `upstreamLimits` */
  limits?: UpstreamLimits
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
  const limits = options.limits ?? upstreamLimits
  const tunnels = createTunnels(limits)
  const forwarder = createForwarder({ watchAfterMs: options.leaseMs ?? 2000, limits })
  const startUp = createStartUp({
    ...{ link, log, sessions: options.sessions },
    retryMs: options.retryMs ?? 1000,
    signal: stop.signal,
    onProblem: text => {
      problem = text
    },
  })
  let refresher: Refresher | null = null
  let parts: Parts | null = null
  let revocations: Revocations | null = null
  let problem = 'Core has not answered yet'
  let connected = false

  return {
    async start() {
      const kept = (await options.configurationFile?.read()) ?? null
      const first = await startUp.untilAnswered(
        () => link.instance().catch(error => keptInstance(error, kept)),
        'Failed to fetch outpost configuration',
      )
      metrics.named(first)
      const sessions = await startUp.openSessions(first)
      const made = createParts(sessions)
      parts = made
      const { headerLogins } = made
      const file = sessions.backend === 'filesystem' ? options.revocationFile?.(first) : undefined
      revocations = createRevocations({ sessions, headerLogins, link, log, now, file })
      refresher = createRefresher({
        ...{ link, log, appLog, embedded, first, kept, now, onInstance },
        browserUrl: options.browserUrl,
        version: options.build ? `${options.version}.${options.build}` : options.version,
        file: options.configurationFile,
        build: configuration =>
          buildServing(configuration, { parts: made, tunnels, isCoreHost: options.isCoreHost }),
        onRefreshed: at => metrics.updated(at),
        onTick: () => {
          if (connected) void revocations?.connected().catch(() => {})
        },
        pushDelayMs: options.pushDelayMs ?? Math.floor(Math.random() * 1000),
      })
      const { refresh, state } = refresher
      log.info('Outpost mode', { embedded })
      link.open(first, { hello, onFrame, onConnect, onDisconnect })
      await startUp.untilAnswered(async () => {
        if (!(await refresh())) throw new LinkError('unreachable', state().problem)
      }, 'Failed to load providers')
    },
    handle: (req, res) => route(refresher?.serving() ?? null, req, res, embedded),
    upgrade: (req, socket, head) => routeUpgrade(refresher?.serving() ?? null, req, socket, head, embedded),
    sni: servername => refresher?.serving()?.certificates.get(servername.toLowerCase()),
    async ready() {
      const checks: Record<string, string> = { configuration: refresher?.serving() ? 'ok' : problem }
      if (parts !== null) checks.sessions = await parts.sessions.check().then(() => 'ok', errorText)
      return { ok: Object.values(checks).every(text => text === 'ok'), checks }
    },
    status() {
      const state = refresher?.state()
      return {
        connected,
        refreshedAt: state?.refreshedAt ?? null,
        revision: state?.revision ?? 0,
        name: state?.instance.name ?? '',
        applications: state?.configuration.loaded.size ?? 0,
        failed: state?.configuration.failed ?? [],
      }
    },
    async refresh() {
      await refresher?.refresh()
    },
    drain: () => tunnels.close(),
    async close() {
      stop.abort()
      tunnels.close()
      await refresher?.close()
      revocations?.close()
      await link.close()
      await forwarder.close()
      await parts?.sessions.close()
    },
  }

  function createParts(sessions: Sessions): Parts {
    return {
      ...{ link, sessions, forwarder, metrics, accessLog, now },
      headerLogins: createHeaderLogins({ link, sessions, log: appLog, now }),
      trusted: options.trusted,
      replayBytes: options.replayBytes ?? 0,
      redemptions: createRedemptions(),
      log: appLog,
      reportMisconfiguration: createMisconfigurationReport({
        ...{ link, log, now },
        outpost: () => refresher?.state().instance.name ?? '',
      }),
    }
  }

  /** A Core that cannot be reached does not keep a known outpost from starting; one that refuses does. */
  function keptInstance(error: unknown, kept: KeptConfiguration | null): OutpostInstance {
    if (kept === null || !(error instanceof LinkError) || error.kind !== 'unreachable') throw error
    return kept.instance
  }

  function onInstance(instance: OutpostInstance): void {
    metrics.named(instance)
    if (embedded) return
    const level = logLevelOf(instance.config.log_level)
    log.setLevel(level)
    accessLog.setEnabled(level !== 'warning' && level !== 'error')
  }

  function hello(): HelloArgs {
    const { version, build } = options
    const revision = refresher?.state().revision ?? 0
    return helloArgs({ version, build, instanceId, revision, lastRevocation: revocations?.last() ?? 0 })
  }

  function onFrame({ instruction: code, args }: Frame): void {
    if (code === instruction.triggerUpdate) refresher?.announced(args.revision)
    else if (code === instruction.sessionEnd) revocations?.receive(args)
    else if (code === instruction.providerSpecific && args.sub_type === 'logout') revocations?.receive(args)
  }

  function onConnect(): void {
    connected = true
    metrics.connected(true)
    log.info('Successfully connected websocket', { outpost: refresher?.state().instance.pk })
    revocations
      ?.connected()
      .catch(error => log.warning('sessions could not be checked', { error: errorText(error) }))
    if (refresher?.serving()) void refresher.refresh()
  }

  function onDisconnect(): void {
    connected = false
    metrics.connected(false)
    revocations?.disconnected()
  }
}
