// The folder of `npm start` (`.postern`): the secret key, the administrator's first password, proxy.env, PostgreSQL's files.
// Only its owner may look inside; one process at a time may use it.
import { randomBytes } from 'node:crypto'
import { chmodSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

export interface DataDirectory {
  readonly path: string
  /** Content of a file of ours, or undefined. */
  read(name: string): string | undefined
  /** Writes a file of ours: mode 0600, replaced in one step. */
  write(name: string, text: string): void
  /** Content of the file, made by `make` and kept when there is none. `created` tells which. */
  ensure(name: string, make: () => string): { text: string; created: boolean }
  release(): void
}

/** The folder cannot be used; one line that says why and what to do. */
export class DataDirectoryError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'DataDirectoryError'
  }
}

/** @throws DataDirectoryError when it cannot be written or another process uses it */
export function openDataDirectory(directory: string): DataDirectory {
  const path = resolve(directory)
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    const found = lstatSync(path)
    if (!found.isDirectory()) throw new Error('it is not a folder')
    if (process.getuid !== undefined && found.uid !== process.getuid())
      throw new Error(`it belongs to user ${found.uid}, this is user ${process.getuid()}`)
    chmodSync(path, 0o700)
  } catch (cause) {
    throw new DataDirectoryError(
      `cannot use ${path}: ${messageOf(cause)}; set POSTERN_DATA_DIR to a folder of your own`,
      { cause },
    )
  }
  const lock = join(path, 'lock')
  takeLock(lock, path)
  const read = (name: string): string | undefined => {
    try {
      return readFileSync(join(path, name), 'utf8').trim()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw new DataDirectoryError(`cannot read ${join(path, name)}: ${messageOf(error)}`, { cause: error })
    }
  }
  const write = (name: string, text: string): void => {
    const temporary = join(path, `.${name}.${randomBytes(6).toString('hex')}`)
    writeFileSync(temporary, text.endsWith('\n') ? text : `${text}\n`, { mode: 0o600, flag: 'wx' })
    renameSync(temporary, join(path, name))
  }
  return {
    path,
    read,
    write,
    ensure(name, make) {
      const found = read(name)
      if (found !== undefined && found !== '') return { text: found, created: false }
      const text = make()
      write(name, text)
      return { text, created: true }
    },
    release: () => rmSync(lock, { force: true }),
  }
}

/** The lock file holds the process id; one left by a dead process is taken over. */
function takeLock(lock: string, path: string): void {
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      writeFileSync(lock, `${process.pid}\n`, { flag: 'wx', mode: 0o600 })
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
        throw new DataDirectoryError(`cannot write ${lock}: ${messageOf(error)}`, { cause: error })
    }
    const owner = Number.parseInt(readFileSync(lock, 'utf8'), 10)
    if (Number.isInteger(owner) && owner !== process.pid && isPostern(owner))
      throw new DataDirectoryError(
        `${path} is used by process ${owner}: stop it first, or set POSTERN_DATA_DIR to another folder`,
      )
    rmSync(lock, { force: true })
  }
  throw new DataDirectoryError(`cannot take ${lock}: another process keeps taking it`)
}

/** A live process with this id that is a Node program (ids are reused after a reboot). */
function isPostern(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('main.ts')
  } catch {
    return true
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
