// `npm start`: everything for one machine in one process with one pool. A PostgreSQL of its own unless one is configured, keys and
// passwords made once and kept in the data directory, and a demo application on the first start.
import { ensureWebBuilt } from '../../web/build.ts'
import { randomText } from '../core/secrets.ts'
import { startEmbeddedPostgres } from '../pg/embedded.ts'
import type { ListenAddress } from '../settings.ts'
import { type RunningCore, startCore } from './core.ts'
import { openDatabase, type Targets } from './database.ts'
import { startDemo } from './demo.ts'
import { openMetrics } from './listeners.ts'
import { bootstrapOf, targetsOf } from './server.ts'
import { banner } from './start/banner.ts'
import { type DataDirectory, openDataDirectory } from './start/data-directory.ts'
import { ensureDemo } from './start/demo-objects.ts'
import { ensureProxyEnv } from './start/proxy-env.ts'
import type { Start } from './start-context.ts'

/** Starts everything; resolves once it serves and the banner is printed. @throws what ends the start */
export async function start({ settings, reread, log, accessLog, shutdown }: Start): Promise<void> {
  const data = openDataDirectory(settings.get('POSTERN_DATA_DIR'))
  shutdown.add('data directory', () => data.release())
  let running: RunningCore | undefined
  const registry = await openMetrics({ settings, log, shutdown }, async () => running?.ready())

  const web = ensureWebBuilt({ log })
  const { targets, adminTarget } = await chooseDatabase({ settings, log, shutdown }, data)
  const database = await openDatabase({
    targets,
    role: 'start',
    migrations: 'apply',
    registry,
    log,
    shutdown,
    replicasAnew: () => reread().replicaTargets(),
  })
  await web

  const demo = await startDemo()
  shutdown.add('demo application', () => demo.close())
  const baseUrl = baseUrlOf(settings.get('POSTERN_BASE_URL'), settings.get('AUTHENTIK_LISTEN__HTTP'))
  const password = firstPassword(settings.get('AUTHENTIK_BOOTSTRAP_PASSWORD'), data)
  const demoUrl = demoUrlOf(baseUrl)
  let standalone: { url: string } | undefined
  running = await startCore({
    settings,
    database,
    baseUrl,
    secretKey: settings.get('AUTHENTIK_SECRET_KEY') || data.ensure('secret_key', () => randomText(50)).text,
    bootstrap: { ...bootstrapOf(settings), password: password.text },
    registry,
    log,
    accessLog,
    shutdown,
    tasks: 'work',
    async beforeListening(core) {
      const outpost = await ensureDemo(core, data, { externalHost: demoUrl, internalHost: demo.url })
      if (outpost !== undefined)
        standalone = await ensureProxyEnv({ core, data, outpost, targets, adminTarget, baseUrl, log })
    },
  })
  process.stdout.write(
    banner({
      coreUrl: baseUrl.origin,
      demoUrl,
      standaloneUrl: standalone === undefined ? undefined : demoUrlOf(new URL(standalone.url)),
      password: password.created ? password.text : undefined,
      passwordFile: password.file,
      dataDirectory: data.path,
      ownDatabase: adminTarget !== undefined,
      colour: process.stdout.isTTY === true,
    }),
  )
}

/** The configured PostgreSQL, else one of our own in the data directory. */
async function chooseDatabase(
  { settings, log, shutdown }: Pick<Start, 'settings' | 'log' | 'shutdown'>,
  data: DataDirectory,
): Promise<{ targets: Targets; adminTarget?: ReturnType<Targets['main']> }> {
  if (settings.isSet('AUTHENTIK_POSTGRESQL__HOST')) return { targets: targetsOf(settings) }
  const postgres = await startEmbeddedPostgres({ dataDir: data.path, log })
  shutdown.add('PostgreSQL', () => postgres.stop())
  const schema = settings.get('AUTHENTIK_POSTGRESQL__DEFAULT_SCHEMA')
  const target = () => postgres.target
  return { targets: { main: target, direct: target, schema }, adminTarget: postgres.adminTarget }
}

function baseUrlOf(configured: string, listen: ListenAddress[]): URL {
  return new URL(configured || `http://localhost:${listen[0]?.port ?? 9000}`)
}

/** `http://demo.localhost:9000` for `http://localhost:9000`, which browsers resolve by themselves. */
function demoUrlOf(baseUrl: URL): string {
  return `http://demo.localhost${baseUrl.port === '' ? '' : `:${baseUrl.port}`}`
}

/** The administrator's first password: given, or made at the first start and kept in a file. */
function firstPassword(
  given: string,
  data: DataDirectory,
): { text: string; created: boolean; file?: string } {
  if (given !== '') return { text: given, created: false }
  const { text, created } = data.ensure('admin-password', () => randomText(20))
  return { text, created, file: `${data.path}/admin-password` }
}
