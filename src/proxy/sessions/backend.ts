// Which session store an outpost uses. It is never chosen by accident and never changed silently: an unknown value is an
// error, and a store that cannot be reached is an error too, not a reason for the other store.
import type { Log } from '../../log.ts'
import type { SessionBackend } from './store.ts'

export type BackendSource = 'core' | 'environment' | 'default'

/** An unknown value. `source` decides what follows: of the environment, exit; of Core, not ready until it is corrected. */
export class BackendError extends Error {
  readonly source: Exclude<BackendSource, 'default'>
  constructor(source: Exclude<BackendSource, 'default'>, value: string) {
    const setting =
      source === 'core'
        ? "session_backend in the outpost's configuration in Core"
        : 'AUTHENTIK_OUTPOSTS__SESSION_BACKEND'
    super(`${setting} is ${JSON.stringify(value)}: use postgres, postgresql or filesystem, or leave it empty`)
    this.name = 'BackendError'
    this.source = source
  }
}

const names: Record<string, SessionBackend> = {
  postgres: 'postgres',
  postgresql: 'postgres',
  filesystem: 'filesystem',
}

/**
 * Core's value, else the environment's, else the default (embedded: postgres, standalone: filesystem). An embedded outpost
 * lives in Core's database, so it is always `postgres`, whatever is configured.
 * @param options.fromCore `session_backend` of the outpost's configuration
 * @param options.fromEnvironment value of `AUTHENTIK_OUTPOSTS__SESSION_BACKEND`
 * @throws BackendError
 */
export function chooseBackend(options: {
  fromCore?: string | null
  fromEnvironment?: string | null
  embedded: boolean
}): { backend: SessionBackend; source: BackendSource } {
  const environment = parse('environment', options.fromEnvironment)
  if (options.embedded) return { backend: 'postgres', source: 'default' }
  const core = parse('core', options.fromCore)
  if (core !== null) return { backend: core, source: 'core' }
  if (environment !== null) return { backend: environment, source: 'environment' }
  return { backend: 'filesystem', source: 'default' }
}

/**
 * The one line per start that tells which store is used, with the texts operators look for.
 * @param where database and schema, for postgres
 */
export function logBackend(
  log: Log,
  backend: SessionBackend,
  where?: { database: string; schema: string },
): void {
  const fields = backend === 'postgres' ? { backend, ...where } : { backend }
  log.child('authentik.outpost.proxyv2').info('configured session backend', fields)
}

function parse(
  source: Exclude<BackendSource, 'default'>,
  value: string | null | undefined,
): SessionBackend | null {
  const name = (value ?? '').trim().toLowerCase()
  if (name === '') return null
  if (!Object.hasOwn(names, name)) throw new BackendError(source, value ?? '')
  return names[name]!
}
