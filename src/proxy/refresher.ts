// Keeping the configuration current: one refresh at a time, by timer, push and reconnect. Builds the next table whole, then swaps it in.
// What Core said last is kept, in memory for an outage and on disk for a start during one.
import { errorText, type Log } from '../log.ts'
import { LinkError, type OutpostLink } from '../wire/link.ts'
import type { OutpostInstance } from '../wire/outpost.ts'
import { createCertificates } from './certificates.ts'
import { type Configuration, emptyConfiguration, loadConfiguration } from './configuration.ts'
import { type PublicCore, publicCoreOf } from './endpoints.ts'
import type { ConfigurationFile, KeptConfiguration } from './kept-configuration.ts'
import type { Serving } from './serving.ts'

export interface Refresher {
  /** Fetches the configuration and applies it; asked for meanwhile, it follows at once. @returns false when that failed; the reason is `problem` */
  refresh(): Promise<boolean>
  /** Core has a new configuration; fetched a little later, so that replicas do not all ask at once. */
  announced(revision: unknown): void
  /** null until the first configuration is there */
  serving(): Serving | null
  state(): RefresherState
  close(): Promise<void>
}

export interface RefresherState {
  instance: OutpostInstance
  configuration: Configuration
  /** ms since epoch at which Core gave what serves now, null before the first */
  refreshedAt: number | null
  revision: number
  problem: string
}

export interface RefresherOptions {
  link: OutpostLink
  log: Log
  /** lines about single applications */
  appLog: Log
  embedded: boolean
  browserUrl?: string
  /** with the build after a dot if there is one */
  version: string
  first: OutpostInstance
  /** from before the start; serves when Core cannot be reached for the first load */
  kept: KeptConfiguration | null
  file?: ConfigurationFile
  build: (configuration: Configuration) => Serving
  /** told every instance that was applied */
  onInstance: (instance: OutpostInstance) => void
  /** told each time Core's configuration was applied */
  onRefreshed: (at: number) => void
  /** told at each tick of the interval */
  onTick: () => void
  now: () => number
  /** ms */
  pushDelayMs: number
}

const defaultIntervalS = 300
const [minIntervalS, maxIntervalS] = [10, 86_400]

export function createRefresher(options: RefresherOptions): Refresher {
  const { link, log, appLog, embedded, kept, file, now } = options
  const certificates = createCertificates({ link, log, kept: kept?.certificates })
  const keptProviders = new Map(kept?.providers.map(provider => [provider.pk, provider]))
  let instance = options.first
  let configuration = emptyConfiguration
  let serving: Serving | null = null
  let problem = 'Core has not answered yet'
  let refreshedAt: number | null = null
  let revision = 0
  let newest = 0
  let running: Promise<boolean> | null = null
  let again = false
  let timer: NodeJS.Timeout | null = null
  let pushed: NodeJS.Timeout | null = null
  let closed = false

  return {
    refresh,
    announced(number) {
      if (typeof number === 'number') newest = Math.max(newest, number)
      pushed ??= setTimeout(() => {
        pushed = null
        void refresh()
      }, options.pushDelayMs).unref()
    },
    serving: () => serving,
    state: () => ({ instance, configuration, refreshedAt, revision, problem }),
    async close() {
      closed = true
      for (const pending of [timer, pushed]) if (pending !== null) clearTimeout(pending)
      await running?.catch(() => {})
    },
  }

  async function refresh(): Promise<boolean> {
    if (running !== null) {
      again = true
      return running
    }
    running = fromCore().finally(() => {
      running = null
      if (again && !closed) {
        again = false
        void refresh()
      }
    })
    return running
  }

  async function fromCore(): Promise<boolean> {
    const target = newest
    try {
      const next = await link.instance()
      warnOfBackend(next)
      await apply(next)
      revision = target
      refreshedAt = now()
      options.onRefreshed(refreshedAt)
      schedule(next.refresh_interval_s)
      await keep()
      return true
    } catch (error) {
      problem = errorText(error)
      schedule(instance.refresh_interval_s)
      return refreshedAt === null ? fromDisk(error) : stay()
    }
  }

  /** Nothing serves yet: what was kept does, when Core is only away. A Core that refuses is another matter. */
  async function fromDisk(error: unknown): Promise<boolean> {
    if (kept === null || !(error instanceof LinkError) || error.kind !== 'unreachable') return false
    try {
      await apply(kept.instance, kept)
    } catch {
      return false
    }
    refreshedAt = kept.savedAt
    log.warning('Core cannot be reached, the configuration kept on disk serves', {
      error: problem,
      applications: configuration.loaded.size,
      refreshed_at: new Date(kept.savedAt).toISOString(),
    })
    return true
  }

  function stay(): false {
    if (!closed)
      log.warning('Failed to refresh, the last configuration serves on', {
        error: problem,
        applications: configuration.loaded.size,
        refreshed_at: refreshedAt === null ? null : new Date(refreshedAt).toISOString(),
      })
    return false
  }

  /** @param from where the providers come from; default: Core */
  async function apply(next: OutpostInstance, from?: KeptConfiguration): Promise<void> {
    instance = next
    options.onInstance(next)
    const core: PublicCore = publicCoreOf(next.config, options)
    configuration = await loadConfiguration(configuration, {
      ...{ link, certificates, log: appLog, kept: keptProviders },
      providers: from === undefined ? undefined : async () => [...from.providers],
      compile: { outpostName: next.name, version: options.version, core },
    })
    if (configuration.loaded.size === 0 && !embedded)
      log.warning('No providers assigned to this outpost, check outpost configuration in authentik')
    serving = options.build(configuration)
  }

  async function keep(): Promise<void> {
    if (file === undefined) return
    const providers = [...configuration.loaded.values()].map(({ provider }) => provider)
    const uuids = providers.map(({ certificate }) => certificate).filter(uuid => uuid !== null)
    await file.write({ instance, providers, certificates: certificates.bundles(uuids) })
  }

  function warnOfBackend({ config }: OutpostInstance): void {
    if (instance.config.session_backend !== config.session_backend && !embedded)
      log.warning('session_backend changed in Core, it applies after a restart of the outpost')
  }

  function schedule(seconds: number): void {
    if (timer !== null) clearTimeout(timer)
    if (closed) return
    const bounded = seconds > 0 ? Math.min(Math.max(seconds, minIntervalS), maxIntervalS) : defaultIntervalS
    timer = setTimeout(() => {
      void refresh()
      options.onTick()
    }, bounded * 1000).unref()
  }
}
