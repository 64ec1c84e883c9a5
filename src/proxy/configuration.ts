// From Core's list of providers to the table that serves: compiled one by one, so that one bad provider harms no other and a good
// version stays in use until there is a better one.
import type { SecureContext } from 'node:tls'
import { errorText, type Log } from '../log.ts'
import type { BrokenProvider, OutpostLink } from '../wire/link.ts'
import type { ProxyProviderConfig } from '../wire/outpost.ts'
import { type Application, type CompileOptions, compileApplication } from './application.ts'
import type { Certificates } from './certificates.ts'
import { readKeySet } from './verify-token.ts'

export interface Loaded {
  application: Application
  provider: ProxyProviderConfig
  /** null without a certificate of its own */
  tls: SecureContext | null
  /** text the application was compiled from; an unchanged provider keeps its object and all that is cached on it */
  source: string
}

export interface Configuration {
  /** by provider */
  loaded: ReadonlyMap<number, Loaded>
  /** providers that could not be set up; `kept` when an older version serves on */
  failed: readonly { provider: string; problem: string; kept: boolean }[]
}

export const emptyConfiguration: Configuration = { loaded: new Map(), failed: [] }

export interface LoadOptions {
  link: OutpostLink
  certificates: Certificates
  log: Log
  /** where the list comes from; default: Core */
  providers?: OutpostLink['providers']
  /** last good versions from before the start, by provider */
  kept?: ReadonlyMap<number, ProxyProviderConfig>
  compile: Omit<CompileOptions, 'jwks' | 'warn'>
}

/** Builds the next configuration. @throws LinkError when Core's list cannot be had; then nothing changes */
export async function loadConfiguration(before: Configuration, options: LoadOptions): Promise<Configuration> {
  const { link, log, kept: keptProviders, providers = broken => link.providers(broken) } = options
  const loaded = new Map<number, Loaded>()
  const failed: { provider: string; problem: string; kept: boolean }[] = []
  const broken: BrokenProvider[] = []
  for (const provider of await providers(row => broken.push(row))) {
    try {
      loaded.set(provider.pk, await load(provider, before.loaded.get(provider.pk), options))
    } catch (error) {
      broken.push({ pk: provider.pk, name: provider.name, problem: errorText(error) })
    }
  }
  for (const { pk, name, problem } of broken) {
    const good =
      pk === null ? undefined : (before.loaded.get(pk) ?? (await loadKept(keptProviders?.get(pk), options)))
    if (good !== undefined) loaded.set(good.provider.pk, good)
    const kept = good !== undefined
    failed.push({ provider: name, problem, kept })
    log.warning('failed to setup application', { name, error: problem, kept })
  }
  return { loaded, failed }
}

async function load(
  provider: ProxyProviderConfig,
  last: Loaded | undefined,
  { link, certificates, log, compile }: LoadOptions,
): Promise<Loaded> {
  const source = JSON.stringify([provider, compile])
  const tls = provider.certificate === null ? null : await certificates.load(provider.certificate)
  if (last?.source === source) return { ...last, tls }
  const application = compileApplication(provider, {
    ...compile,
    warn: (line, why) => log.warning('skip_path_regex', { name: provider.name, line, error: why }),
    jwks: keysFrom(link),
  })
  log.info('Loaded application', { name: provider.name, host: application.host })
  return { application, provider, tls, source }
}

async function loadKept(
  provider: ProxyProviderConfig | undefined,
  options: LoadOptions,
): Promise<Loaded | undefined> {
  return provider === undefined ? undefined : load(provider, undefined, options).catch(() => undefined)
}

function keysFrom(link: OutpostLink): CompileOptions['jwks'] {
  return config => async () => {
    const { status, body } = await link.backChannel(config, { endpoint: 'jwks' })
    return readKeySet(status, body)
  }
}
