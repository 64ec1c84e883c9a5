// Core in a process: installation, routes, hub, embedded outpost, listeners. `server` and `start` share it.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Registry } from 'prom-client'
import { registerTaskRoutes } from '../core/api/task-routes.ts'
import { bodySize, createApp } from '../core/app.ts'
import type { Core } from '../core/core.ts'
import { createWebCertificates } from '../core/crypto/web-certificates.ts'
import { registerMediaMetrics } from '../core/media/media-metrics.ts'
import { ensureEmbeddedOutpost } from '../core/outposts/account.ts'
import { createHub } from '../core/outposts/hub.ts'
import { registerHubMetrics } from '../core/outposts/hub-metrics.ts'
import { createInProcessLink } from '../core/outposts/in-process-link.ts'
import { isKnownHost } from '../core/pages/known-host.ts'
import { registerRequestMetrics } from '../core/request-metrics.ts'
import { registerRoutes } from '../core/routes.ts'
import { registerSessionMetrics } from '../core/sessions/session-metrics.ts'
import { createCoreTasks } from '../core/tasks.ts'
import { type AccessLog, accessFragment } from '../http/access-log.ts'
import { answerOnSocket } from '../http/errors.ts'
import { createHealth, type Readiness } from '../http/health.ts'
import { requestId } from '../http/request-id.ts'
import { createTrustedPeers, publicRequest, type TrustedPeers } from '../http/trusted-peers.ts'
import { inLane } from '../pg/lane.ts'
import { registerTaskMetrics } from '../pg/tasks/metrics.ts'
import { createOutpost, type Outpost } from '../proxy/outpost.ts'
import { version } from '../version.ts'
import { type CoreOptions, openCore } from './core-context.ts'
import type { Database } from './database.ts'
import { laneOf } from './lane-of.ts'
import { openListeners } from './listeners.ts'
import { mailServerOf } from './mail-server.ts'
import { databaseReadiness, isReady } from './readiness.ts'
import { openEmbeddedSessions } from './sessions.ts'
import type { Shutdown } from './shutdown.ts'

export interface RunningCore {
  core: Core
  /** readiness of the whole process, for the metrics listener */
  ready(): Promise<Readiness>
  setupCompleted: boolean
}

/**
 * Starts Core and its embedded outpost on the HTTP listeners; resolves once both serve.
 * @throws what ends the start
 */
export async function startCore(
  options: Omit<CoreOptions, 'trusted'> & {
    registry: Registry
    accessLog: AccessLog
    shutdown: Shutdown
    /** `work`: background tasks run in this process too; `enqueue`: a worker elsewhere runs them */
    tasks: 'enqueue' | 'work'
    /** runs with Core made and before anything listens, e.g. to add the demo */
    beforeListening?: (core: Core) => Promise<void>
  },
): Promise<RunningCore> {
  const { settings, database, log, accessLog, shutdown } = options
  const trusted = createTrustedPeers(settings.get('AUTHENTIK_LISTEN__TRUSTED_PROXY_CIDRS'))
  const { core, installation } = await openCore({ ...options, trusted })
  await core.db.transaction(tx => ensureEmbeddedOutpost(tx, core))
  await options.beforeListening?.(core)

  const app = createApp(core)
  registerRequestMetrics(options.registry, app)
  const { beat, leases } = database
  const mailServer = mailServerOf(settings)
  const tasks = createCoreTasks({
    ...{ core, beat, leases, mailServer, role: options.tasks },
    maxQueued: settings.get('POSTERN_TASKS_MAX_QUEUED'),
  })
  const { media } = registerRoutes(app, core)
  registerTaskRoutes(app, core, tasks)
  registerMediaMetrics({ registry: options.registry, media })
  await app.ready()
  shutdown.add('Core', () => app.close())
  const hub = createHub(core)
  shutdown.add('hub', () => hub.close())
  registerSessionMetrics(options.registry, core)
  registerTaskMetrics(options.registry, core.db, { version, log })
  registerHubMetrics({ registry: options.registry, hub, tenant: database.db.schema })

  const sessions = await openEmbeddedSessions({ settings, pool: database.pool, log })
  const outpost = createOutpost({
    link: createInProcessLink({ core, app, hub }),
    embedded: true,
    sessions,
    browserUrl: options.baseUrl.origin,
    isCoreHost: host => isKnownHost(host, options.baseUrl, false),
    trusted,
    version,
    log: log.child('authentik.outpost'),
    accessLog,
    registry: options.registry,
    leaseMs: settings.get('POSTERN_SESSION_LEASE') * 1000,
    replayBytes: settings.get('POSTERN_REPLAY_FORMS'),
  })
  shutdown.add('embedded outpost', () => outpost.close())

  const ready = () => readiness(database, outpost)
  const health = createHealth({ ready })
  const coreHandler = logged(app.routing, accessLog, trusted)
  const serve = {
    handler: (request: IncomingMessage, response: ServerResponse) => {
      inLane(laneOf(request.url ?? '/'), () => {
        if (outpost.handle(request, response)) return
        if (health.handle(request, response)) return
        coreHandler(request, response)
      })
    },
    upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (hub.handleUpgrade(request, socket, head)) return
      if (outpost.upgrade(request, socket, head)) return
      answerOnSocket(socket, 404)
    },
    trusted,
  }
  const certificates = await createWebCertificates(core)
  shutdown.add('web certificates', () => certificates.close())
  const listeners = await openListeners(options, serve, name => outpost.sni(name) ?? certificates.find(name))
  // Links of outposts are sockets of these listeners: while requests end, they are told to come back elsewhere.
  shutdown.add('listeners and links', async () => {
    await Promise.all([...listeners.map(listener => listener.close()), hub.close()])
  })
  shutdown.add('tunnels', () => outpost.drain())
  await outpost.start()
  shutdown.add('tasks', () => tasks.close())
  if (options.tasks === 'work') await tasks.start()
  return {
    core,
    ready,
    setupCompleted: installation.setupCompleted,
  }
}

/** Ready = the database answers and is migrated, the outpost serves. */
async function readiness(database: Database, outpost: Outpost): Promise<Readiness> {
  const { checks, facts } = await databaseReadiness(database)
  for (const [name, text] of Object.entries((await outpost.ready()).checks)) checks[`outpost_${name}`] = text
  return { ok: isReady(checks), checks, facts }
}

/** Core's own access lines, in the same form as the outpost's. */
function logged(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
  accessLog: AccessLog,
  trusted: TrustedPeers,
) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    const began = performance.now()
    response.once('close', () => {
      const client = publicRequest(request, trusted)
      accessLog.write({
        uri: request.url ?? '',
        host: client.host,
        logger: 'authentik.core',
        method: request.method ?? '',
        remote: client.clientAddress,
        requestId: requestId(request),
        runtimeMs: performance.now() - began,
        scheme: client.scheme,
        size: bodySize(response),
        status: response.statusCode,
        fragment: accessFragment({ userAgent: request.headers['user-agent'] ?? '' }),
      })
    })
    handler(request, response)
  }
}
