// A real PostgreSQL from npm for `npm start` and the tests, reachable by a unix socket only. Never for production.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import { chown, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../log.ts'
import { openConnection } from './client.ts'
import { type EmbeddedFiles, type Owner, prepareFiles } from './embedded-files.ts'
import { sqlstate } from './errors.ts'
import type { PgTarget } from './target.ts'

export interface EmbeddedPostgres {
  /** Role and database `authentik`, as programs use them. */
  target: PgTarget
  /** Superuser, for set-up only. */
  adminTarget: PgTarget
  /** True when a server left over by an earlier process of ours was found and taken. */
  adopted: boolean
  /** Fast shutdown; resolves when the server is gone. */
  stop(): Promise<void>
  /** Stops it and deletes cluster, copies and socket folder. */
  destroy(): Promise<void>
}

export interface EmbeddedOptions {
  /** The program's data directory; passwords are kept here, the cluster too when its user can reach it. */
  dataDir: string
  log: Log
  /** Default 40. */
  maxConnections?: number
  /** Further server settings, e.g. `fsync: 'off'`, `shared_preload_libraries: 'pg_stat_statements'`. */
  settings?: Record<string, string>
  /** Folder of another program (`bin`, `lib`, `share`) than the installed package's. */
  program?: string
  /** The server ends when this process is killed (Linux); for tests. */
  endWithUs?: boolean
}

const startTimeoutMs = 60_000

/**
 * Starts the server of a data directory, creating its cluster the first time, or takes over the one that still runs.
 * @throws Error, one line, with the end of the server's log when it does not start
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const files = await prepareFiles(options.dataDir, options.log, options.program)
  const port = Number(options.settings?.port ?? 5432)
  const target = targetOf(files, port, 'authentik', files.secrets.password, 'authentik')
  const adminTarget = targetOf(files, port, 'postgres', files.secrets.adminPassword, 'postgres')
  const data = join(files.home, 'data')
  if (!existsSync(join(data, 'PG_VERSION'))) await initialise(files, data, options.log)
  const left = await leftOver(data, adminTarget)
  const child = left === undefined ? await start(files, data, adminTarget, options) : undefined
  if (left !== undefined) options.log.info('embedded PostgreSQL still runs, using it', { pid: left })
  await setUp(adminTarget, files.secrets.password)
  const stop = () => (child === undefined ? stopLeftOver(left ?? 0) : stopChild(child))
  return {
    target,
    adminTarget,
    adopted: left !== undefined,
    stop,
    async destroy() {
      await stop()
      for (const folder of files.made) await rm(folder, { recursive: true, force: true })
    },
  }
}

function targetOf(
  files: EmbeddedFiles,
  port: number,
  user: string,
  password: string,
  database: string,
): PgTarget {
  return {
    hosts: [{ host: files.socket, port }],
    user,
    password,
    database,
    sslmode: 'disable',
    connectTimeoutMs: 5000,
  }
}

const environment = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }

/** Creates the cluster beside its final place and moves it there, so that a half-made one is never used. */
async function initialise(files: EmbeddedFiles, data: string, log: Log): Promise<void> {
  const fresh = `${data}.new`
  const passwordFile = join(files.home, 'initdb.pw')
  await rm(fresh, { recursive: true, force: true })
  await writeFile(passwordFile, files.secrets.adminPassword, { mode: 0o600 })
  const { uid, gid } = files.owner
  if (uid !== undefined && gid !== undefined) await chown(passwordFile, uid, gid)
  log.info('creating the embedded PostgreSQL database', { path: data })
  try {
    const flags = ['-U', 'postgres', '--pwfile', passwordFile, '-A', 'scram-sha-256', '-E', 'UTF8']
    const quick = ['--no-instructions', '--no-sync']
    await run(files.initdb, ['-D', fresh, ...flags, ...localeFlags(files), ...quick], files.owner, files.home)
    await rename(fresh, data)
  } finally {
    await rm(passwordFile, { force: true })
  }
}

/** Orders by code point everywhere; before PostgreSQL 17 that takes the system's C locale. */
function localeFlags(files: EmbeddedFiles): string[] {
  const { stdout } = spawnSync(files.postgres, ['--version'], { encoding: 'utf8' })
  const major = Number(/\b(\d+)/.exec(stdout)?.[1] ?? 18)
  return major >= 17 ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8'] : ['--locale=C.UTF-8']
}

function run(program: string, args: string[], owner: Owner, cwd: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      ...owner,
      cwd,
      env: environment,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let said = ''
    child.stderr.on('data', chunk => {
      said = `${said}${chunk}`.slice(-2000)
    })
    child.on('error', reject)
    child.on('close', code => {
      if (code === 0) resolve()
      else reject(new Error(`initdb failed (${code}): ${said.trim().replaceAll('\n', ' · ')}`))
    })
  })
}

/**
 * Pid of a server of this cluster that still runs and lets us in; waits for one that is starting or ending. A stale
 * `postmaster.pid` whose number another program has now is removed: PostgreSQL itself would take that program for a server.
 */
async function leftOver(data: string, adminTarget: PgTarget): Promise<number | undefined> {
  const until = Date.now() + startTimeoutMs
  for (;;) {
    const pid = await serverPid(data)
    if (pid === undefined) return undefined
    try {
      await tryConnect(adminTarget)
      return pid
    } catch (error) {
      if (Date.now() > until) {
        throw new Error(`a PostgreSQL (pid ${pid}) holds ${data}, but does not let us in; stop it`, {
          cause: error,
        })
      }
    }
    await sleep(50)
  }
}

async function serverPid(data: string): Promise<number | undefined> {
  const file = join(data, 'postmaster.pid')
  const pid = Number.parseInt(await readFile(file, 'utf8').catch(() => ''), 10)
  if (!(pid > 0)) return undefined
  if (isAlive(pid) && (await isServerOf(pid, data))) return pid
  await unlink(file).catch(() => {})
  return undefined
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** By its command line; where that cannot be read, a living process counts as the server. */
async function isServerOf(pid: number, data: string): Promise<boolean> {
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined)
  return line === undefined || line.split('\0').includes(data)
}

async function start(
  files: EmbeddedFiles,
  data: string,
  adminTarget: PgTarget,
  options: EmbeddedOptions,
): Promise<ChildProcess> {
  const settings = {
    listen_addresses: '',
    unix_socket_permissions: '0700',
    max_connections: String(options.maxConnections ?? 40),
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...options.settings,
  }
  const args = ['-D', data, '-k', files.socket]
  for (const [name, value] of Object.entries(settings)) args.push('-c', `${name}=${value}`)
  const tied = options.endWithUs === true && existsSync('/usr/bin/setpriv')
  const [program, all] = tied
    ? ['/usr/bin/setpriv', ['--pdeathsig', 'INT', '--', files.postgres, ...args]]
    : [files.postgres, args]
  const logFile = join(files.home, 'server.log')
  const output = openSync(logFile, 'w', 0o600)
  // In a session of its own: ^C in the terminal is for the programs, which then stop it when they are done.
  const child = spawn(program, all, {
    ...files.owner,
    cwd: files.home,
    env: environment,
    stdio: ['ignore', output, output],
    detached: true,
  })
  closeSync(output)
  let failure: Error | undefined
  child.on('error', error => {
    failure = error
  })
  child.on('exit', code => {
    failure ??= new Error(`exit code ${code}`)
  })
  const until = Date.now() + startTimeoutMs
  for (;;) {
    try {
      await tryConnect(adminTarget)
      child.unref() // a program that ends without stopping it leaves it to the next start
      return child
    } catch (error) {
      if (failure !== undefined || Date.now() > until) {
        child.kill('SIGQUIT')
        const said = (await readFile(logFile, 'utf8').catch(() => ''))
          .trim()
          .split('\n')
          .slice(-5)
          .join(' · ')
        throw new Error(`the embedded PostgreSQL did not start: ${said || failure?.message}`, {
          cause: failure ?? error,
        })
      }
    }
    await sleep(20)
  }
}

async function tryConnect(adminTarget: PgTarget): Promise<void> {
  const connection = await openConnection(adminTarget, { applicationName: 'postern-start' })
  await connection.client.end()
}

/** Role and database of the programs; repeated at every start, so that an interrupted set-up heals. */
async function setUp(adminTarget: PgTarget, password: string): Promise<void> {
  const { client } = await openConnection(adminTarget, { applicationName: 'postern-setup' })
  try {
    const literal = client.escapeLiteral(password)
    const ignoring = async (state: string, text: string) => {
      await client.query(text).catch(error => {
        if (sqlstate(error) !== state) throw error
      })
    }
    await ignoring('42710', 'create role authentik login')
    await client.query(`alter role authentik login password ${literal}`)
    await ignoring('42P04', 'create database authentik owner authentik')
  } finally {
    await client.end()
  }
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.ref()
  const gone = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGINT')
  await gone
}

async function stopLeftOver(pid: number): Promise<void> {
  if (pid <= 0 || !isAlive(pid)) return
  process.kill(pid, 'SIGINT')
  while (isAlive(pid)) await sleep(20)
}
