// A primary and a streaming standby of it: two real servers, the second a file-level copy of the first.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { appendFile, chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLog } from '../../src/log.ts'
import { openConnection } from '../../src/pg/client.ts'
import { startEmbeddedPostgres } from '../../src/pg/embedded.ts'
import { prepareFiles } from '../../src/pg/embedded-files.ts'
import type { PgTarget } from '../../src/pg/target.ts'
import { testProgram } from '../postgres.ts'
import { eventually } from './eventually.ts'

export interface TwoServers {
  /** Both, the primary first; role and database as programs use them. */
  target(): PgTarget
  primary: Server
  standby: Server
  stop(): Promise<void>
}

interface Server {
  target: PgTarget
  adminTarget: PgTarget
  /** One statement as superuser, in the programs' database. */
  ask<Row>(text: string): Promise<Row[]>
  /** Ends the postmaster, and with it every backend. */
  kill(signal: 'SIGINT' | 'SIGKILL'): Promise<void>
}

const settings = { fsync: 'off', full_page_writes: 'off', wal_keep_size: '256MB', max_wal_senders: '5' }

export async function startTwoServers(): Promise<TwoServers> {
  const dataDir = await mkdtemp(join(tmpdir(), 'postern-two-'))
  await chmod(dataDir, 0o755)
  const first = await startEmbeddedPostgres({
    dataDir,
    log: silentLog,
    endWithUs: true,
    settings,
    ...testProgram(),
  })
  const files = await prepareFiles(dataDir, silentLog, testProgram()?.program)
  const at = (target: PgTarget, port: number) => ({ ...target, hosts: [{ host: files.socket, port }] })
  const primary = server(first.target, first.adminTarget, join(files.home, 'data'))
  const copy = join(files.home, 'standby')
  await copyOf(primary, join(files.home, 'data'), copy, files.socket)
  if (files.owner.uid !== undefined)
    execFileSync('chown', ['-R', `${files.owner.uid}:${files.owner.gid}`, copy])
  await chmod(copy, 0o700)
  const child = startPostgres(files.postgres, files.owner, copy, files.socket)
  const standby = server(at(first.target, 5433), at(first.adminTarget, 5433), copy)
  await eventually(
    async () =>
      (
        await standby
          .ask<{ up: boolean }>("select status = 'streaming' as up from pg_stat_wal_receiver")
          .catch(() => [])
      )[0]?.up === true,
    30_000,
  )
  return {
    target: () => ({ ...first.target, hosts: [5432, 5433].map(port => ({ host: files.socket, port })) }),
    primary,
    standby,
    async stop() {
      await standby.kill('SIGINT').catch(() => {})
      if (child.exitCode === null && child.signalCode === null)
        await new Promise(resolve => child.once('exit', resolve))
      await first.destroy()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

function server(target: PgTarget, adminTarget: PgTarget, data: string): Server {
  return {
    target,
    adminTarget,
    async ask<Row>(text: string) {
      const { client } = await openConnection(
        { ...adminTarget, database: target.database },
        { applicationName: 'two servers' },
      )
      try {
        return (await client.query(text)).rows as Row[]
      } finally {
        await client.end()
      }
    },
    async kill(signal) {
      const file = join(data, 'postmaster.pid')
      const pid = Number.parseInt(await readFile(file, 'utf8'), 10)
      process.kill(pid, signal)
      await eventually(() => !existsSync(`/proc/${pid}`) || readState(pid) === 'Z')
    },
  }
}

function readState(pid: number): string {
  try {
    return execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' })
      .trim()
      .slice(0, 1)
  } catch {
    return 'Z'
  }
}

async function copyOf(primary: Server, from: string, to: string, socket: string): Promise<void> {
  const { client } = await openConnection(primary.adminTarget, { applicationName: 'backup' })
  try {
    await client.query("select pg_backup_start('standby', true)")
    execFileSync('cp', ['-a', from, to])
    const { rows } = await client.query<{ labelfile: string }>('select labelfile from pg_backup_stop(false)')
    await writeFile(join(to, 'backup_label'), rows[0]?.labelfile ?? '')
  } finally {
    await client.end()
  }
  for (const name of ['postmaster.pid', 'postmaster.opts']) await rm(join(to, name), { force: true })
  await writeFile(join(to, 'standby.signal'), '')
  const { user, password } = primary.adminTarget
  const conninfo = `host=${socket} port=5432 user=${user} password=${password}`
  await appendFile(join(to, 'postgresql.auto.conf'), `primary_conninfo = '${conninfo}'\n`)
}

function startPostgres(program: string, owner: object, data: string, socket: string): ChildProcess {
  const options = {
    ...settings,
    listen_addresses: '',
    unix_socket_permissions: '0700',
    max_connections: '40',
    timezone: 'UTC',
  }
  const args = ['-D', data, '-k', socket, '-p', '5433']
  for (const [name, value] of Object.entries(options)) args.push('-c', `${name}=${value}`)
  return spawn('/usr/bin/setpriv', ['--pdeathsig', 'INT', '--', program, ...args], {
    ...owner,
    cwd: '/',
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
    stdio: 'ignore',
  })
}
