// `proxy.env` in the data directory: what `npm run proxy` needs to be a standalone outpost of this installation.
import { createServer } from 'node:net'
import type { Core } from '../../core/core.ts'
import { outpostToken } from '../../core/outposts/account.ts'
import { randomText } from '../../core/secrets.ts'
import type { Log } from '../../log.ts'
import { openConnection } from '../../pg/client.ts'
import type { PgTarget } from '../../pg/target.ts'
import type { Targets } from '../database.ts'
import type { DataDirectory } from './data-directory.ts'
import { outpostExists } from './demo-objects.sql.ts'
import { ensureOutpostRole, outpostRole } from './outpost-role.sql.ts'

const file = 'proxy.env'

/**
 * Writes the file anew when something in it has changed; the ports, once chosen, stay.
 * @returns the outpost's address, or undefined when the outpost was deleted
 */
export async function ensureProxyEnv(options: {
  core: Core
  data: DataDirectory
  outpost: string
  targets: Targets
  /** of our own PostgreSQL; absent for a configured one */
  adminTarget?: PgTarget
  baseUrl: URL
  log: Log
}): Promise<{ url: string } | undefined> {
  const { core, data, outpost, baseUrl } = options
  if (!(await outpostExists(core.db, outpost))) return undefined
  const present = parseEnv(data.read(file) ?? '')
  const http = present.get('AUTHENTIK_LISTEN__HTTP') ?? `127.0.0.1:${await freePort(9100)}`
  const metrics = present.get('AUTHENTIK_LISTEN__METRICS') ?? `127.0.0.1:${await freePort(9310)}`
  const target = await sessionTarget(options, present)
  const host = target.hosts[0]!
  const values: [string, string][] = [
    [
      'AUTHENTIK_HOST',
      `${baseUrl.protocol}//127.0.0.1:${baseUrl.port || (baseUrl.protocol === 'https:' ? 443 : 80)}`,
    ],
    ['AUTHENTIK_HOST_BROWSER', baseUrl.origin],
    ['AUTHENTIK_TOKEN', await outpostToken(core.db, core, outpost)],
    ['AUTHENTIK_LISTEN__HTTP', http],
    ['AUTHENTIK_LISTEN__HTTPS', ''],
    ['AUTHENTIK_LISTEN__METRICS', metrics],
    ['AUTHENTIK_POSTGRESQL__HOST', host.host],
    ['AUTHENTIK_POSTGRESQL__PORT', String(host.port)],
    ['AUTHENTIK_POSTGRESQL__USER', target.user],
    ['AUTHENTIK_POSTGRESQL__PASSWORD', target.password],
    ['AUTHENTIK_POSTGRESQL__NAME', target.database],
    ['AUTHENTIK_POSTGRESQL__DEFAULT_SCHEMA', options.targets.schema],
  ]
  const text = `# Written by \`npm start\`; read by \`npm run proxy\` for what its environment leaves open.\n${values
    .map(([name, value]) => `${name}=${value}`)
    .join('\n')}\n`
  if (data.read(file) !== text.trim()) data.write(file, text)
  return { url: `http://${http}` }
}

/** Our own PostgreSQL: a role that sees one table. A configured one: the same credentials, said once, since making roles is its owner's business. */
async function sessionTarget(
  options: { targets: Targets; adminTarget?: PgTarget; log: Log },
  present: Map<string, string>,
): Promise<PgTarget> {
  const target = options.targets.direct()
  if (options.adminTarget === undefined) {
    options.log.warning(
      'proxy.env holds the database credentials of Core: give standalone outposts a role of their own',
      {
        role_needs: 'usage on the schema; select, insert, delete on proxy_sessions',
      },
    )
    return target
  }
  const password =
    (present.get('AUTHENTIK_POSTGRESQL__USER') === outpostRole &&
      present.get('AUTHENTIK_POSTGRESQL__PASSWORD')) ||
    randomText(32)
  const connection = await openConnection(
    { ...options.adminTarget, database: target.database },
    { applicationName: 'postern-start' },
  )
  try {
    await ensureOutpostRole(connection.client, options.targets.schema, password)
  } finally {
    connection.drop()
  }
  return { ...target, user: outpostRole, password }
}

function parseEnv(text: string): Map<string, string> {
  const values = new Map<string, string>()
  for (const line of text.split('\n')) {
    const equals = line.indexOf('=')
    if (equals > 0 && !line.startsWith('#')) values.set(line.slice(0, equals), line.slice(equals + 1))
  }
  return values
}

/** The first free port of the loopback interface at or above `from`. */
async function freePort(from: number): Promise<number> {
  for (let port = from; port < from + 200; port++) if (await isFree(port)) return port
  throw new Error(`no free port between ${from} and ${from + 199} for the standalone outpost`)
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
