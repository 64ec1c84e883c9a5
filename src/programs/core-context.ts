// Core without anything that answers: what `server`, `worker` and `start` have in common.
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { webDist } from '../../web/build.ts'
import type { Core } from '../core/core.ts'
import { type Bootstrap, type Installation, install } from '../core/installation/install.ts'
import { createSecrets } from '../core/secrets.ts'
import { createPasswords } from '../core/users/passwords.ts'
import type { TrustedPeers } from '../http/trusted-peers.ts'
import type { Log } from '../log.ts'
import type { Settings } from '../settings.ts'
import { version } from '../version.ts'
import type { Database } from './database.ts'
import type { Shutdown } from './shutdown.ts'

export interface CoreOptions {
  settings: Settings
  database: Database
  baseUrl: URL
  secretKey: string
  bootstrap: Bootstrap
  trusted: TrustedPeers
  log: Log
  shutdown: Shutdown
}

/** One hash takes a processor for 35 ms; the rest of the process needs one as well. */
const hashers = Math.max(1, availableParallelism() - 1)

/** Installs what the database lacks and puts Core together. @throws InstallationError */
export async function openCore(options: CoreOptions): Promise<{ core: Core; installation: Installation }> {
  const { settings, database, log } = options
  const secrets = createSecrets(options.secretKey)
  const passwords = createPasswords({ concurrency: hashers })
  const installation = await install({
    db: database.db,
    secrets,
    passwords,
    bootstrap: options.bootstrap,
    log,
  })
  const core: Core = {
    db: database.db,
    bus: database.bus,
    memory: database.cache,
    log,
    secrets,
    passwords,
    baseUrl: options.baseUrl,
    trusted: options.trusted,
    installationId: installation.id,
    version,
    buildHash: '',
    cookieDomain: settings.get('AUTHENTIK_COOKIE_DOMAIN'),
    webDirectory: webDist,
    mediaDirectory: mediaDirectoryOf(settings),
    setupToken: settings.get('POSTERN_SETUP_TOKEN'),
    now: () => new Date(),
  }
  return { core, installation }
}

/** The folder of media files; that of `npm start` goes with its other data. */
function mediaDirectoryOf(settings: Settings): string {
  const name = 'AUTHENTIK_STORAGE__MEDIA__FILE__PATH'
  if (settings.program === 'start' && !settings.isSet(name))
    return resolve(settings.get('POSTERN_DATA_DIR'), 'media')
  const path = settings.get(name)
  return path === '' ? '' : resolve(path)
}
