// A real PgBouncer (Debian's package) in front of a test server, in a folder of its own.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openConnection } from '../../src/pg/client.ts'
import type { PgTarget } from '../../src/pg/target.ts'
import { eventually } from './eventually.ts'

const program = '/usr/sbin/pgbouncer'

/** A reason to skip, or false; in CI the package is there. */
export const withoutPgBouncer = existsSync(program)
  ? false
  : 'needs PgBouncer: apt-get install -y --no-install-recommends pgbouncer'

export interface PgBouncer {
  /** The same database, through the pooler. */
  target(): PgTarget
  /** Ends it without a word to its clients; `start` brings it back at the same port. */
  kill(): Promise<void>
  start(): Promise<void>
  stop(): Promise<void>
}

export interface BouncerOptions {
  mode: 'session' | 'transaction' | 'statement'
  poolSize?: number
  roundRobin?: boolean
  /** `target` is a superuser's: every role of the server may come in with its own password, and `target` may ask the console */
  everybody?: boolean
  /** roles whose passwords it need not ask the server for */
  known?: { user: string; password: string }[]
}

/** Starts a pooler whose backends lead to the server of `target` (a unix socket). */
export async function startPgBouncer(target: PgTarget, options: BouncerOptions): Promise<PgBouncer> {
  const dir = await mkdtemp(join(tmpdir(), 'postern-bouncer-'))
  const port = await freePort()
  const at = target.hosts[0] ?? { host: '', port: 0 }
  const everybody = options.everybody === true
  const login = everybody ? `auth_user=${target.user}` : `user=${target.user} password=${target.password}`
  const database = `host=${at.host} port=${at.port} ${login}`
  const settings = {
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    auth_type: everybody ? 'scram-sha-256' : 'plain',
    auth_file: join(dir, 'users.txt'),
    pool_mode: options.mode,
    default_pool_size: options.poolSize ?? 5,
    server_round_robin: options.roundRobin === true ? 1 : 0,
    logfile: join(dir, 'pgbouncer.log'),
    pidfile: join(dir, 'pgbouncer.pid'),
    server_login_retry: 1,
    ...(everybody ? { admin_users: target.user, max_client_conn: 1000, server_idle_timeout: 3 } : {}),
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`)
  await writeFile(
    join(dir, 'pgbouncer.ini'),
    `[databases]\n* = ${database}\n[pgbouncer]\n${lines.join('\n')}\n`,
  )
  const known = [target, ...(options.known ?? [])].map(({ user, password }) => `"${user}" "${password}"\n`)
  await writeFile(join(dir, 'users.txt'), known.join(''))
  await chmod(dir, 0o777)
  const through = (): PgTarget => ({ ...target, hosts: [{ host: '127.0.0.1', port }] })
  let child: ChildProcess | undefined
  const start = async () => {
    // It refuses to run as root, and reaches the socket of the server as the server's own user.
    const user = process.getuid?.() === 0 ? ['-u', 'postgres'] : []
    const args = ['--pdeathsig', 'KILL', '--', program, '-q', ...user, join(dir, 'pgbouncer.ini')]
    child = spawn('/usr/bin/setpriv', args, { stdio: 'ignore' })
    await eventually(async () => {
      const connection = await openConnection(through(), { applicationName: 'waiting' }).catch(
        () => undefined,
      )
      await connection?.client.end()
      return connection !== undefined
    })
  }
  const kill = async () => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise(resolve => child?.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }
  await start()
  return {
    target: through,
    kill,
    start,
    async stop() {
      await kill()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}
