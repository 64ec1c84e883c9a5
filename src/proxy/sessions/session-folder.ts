// The folder of the filesystem store: private to the user we run as, written by atomic rename, read without following
// links. What is not named like a session record is somebody else's and stays untouched.
import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { lstat, mkdir, open, readdir, rename, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errorText } from '../../log.ts'
import { decodeFileRecord, encodeFileRecord, keyHashOf, recordFileName } from './file-record.ts'
import { type SessionRecord, StoreUnavailable } from './store.ts'

/** Claims with hundreds of groups take some 20 KiB; what is larger than this is not ours. */
const recordMax = 1024 * 1024
const temporaryPattern = /^\.session_[0-9a-f]{64}\.[0-9a-f-]{36}\.tmp$/
const temporaryLifeMs = 5 * 60_000

/**
 * Makes sure `directory` is there, ours alone and writable; creates it (0700) when missing.
 * @throws Error with one line that says what to do
 */
export async function prepareFolder(directory: string): Promise<void> {
  try {
    await mkdir(dirname(directory), { recursive: true })
    await mkdir(directory, { mode: 0o700 }).catch(error => {
      if (codeOf(error) !== 'EEXIST') throw error
    })
    const found = await lstat(directory)
    if (!found.isDirectory())
      throw new Error(`it is ${found.isSymbolicLink() ? 'a symbolic link' : 'no folder'}`)
    const uid = process.getuid?.()
    if (uid !== undefined && found.uid !== uid)
      throw new Error(`it belongs to user id ${found.uid}, not to ${uid} we run as`)
    if (uid !== undefined && (found.mode & 0o077) !== 0)
      throw new Error(`others may use it (mode ${(found.mode & 0o777).toString(8)}); chmod 700 it`)
    const probe = join(directory, `.session_${'0'.repeat(64)}.${randomUUID()}.tmp`)
    await writeNew(probe, Buffer.from('probe'))
    await unlink(probe)
  } catch (error) {
    throw new Error(
      `session folder ${directory} cannot be used: ${errorText(error)}; set POSTERN_SESSION_DIR to a folder of our own, or to one that does not exist yet`,
      { cause: error },
    )
  }
}

/**
 * Key hashes of the records that are there now.
 * @throws StoreUnavailable
 */
export async function listRecords(directory: string): Promise<Buffer[]> {
  const names = await readdir(directory).catch(error => unavailable(directory, error))
  return names.map(keyHashOf).filter(keyHash => keyHash !== null)
}

/**
 * Reads one record, expired or not.
 * @returns null when it is absent, unreadable as a record, a link or no plain file
 * @throws StoreUnavailable
 */
export async function readRecord(directory: string, keyHash: Buffer): Promise<SessionRecord | null> {
  const path = join(directory, recordFileName(keyHash))
  try {
    // Without O_NONBLOCK a named pipe with the right name would hold us for ever.
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      const found = await file.stat()
      if (!found.isFile() || found.size > recordMax) return null
      return decodeFileRecord(keyHash, await file.readFile())
    } finally {
      await file.close()
    }
  } catch (error) {
    // ENXIO: a socket; ELOOP: a link.
    if (['ENOENT', 'ELOOP', 'ENXIO', 'EISDIR'].includes(codeOf(error))) {
      if (codeOf(error) === 'ENOENT') await folderIsThere(directory)
      return null
    }
    return unavailable(directory, error)
  }
}

/**
 * Writes one record: the whole of it under its name, or nothing.
 * @throws StoreUnavailable
 */
export async function writeRecord(directory: string, record: SessionRecord): Promise<void> {
  const name = recordFileName(record.keyHash)
  const temporary = join(directory, `.${name}.${randomUUID()}.tmp`)
  try {
    await writeNew(temporary, encodeFileRecord(record))
    await rename(temporary, join(directory, name))
  } catch (error) {
    await unlink(temporary).catch(() => {}) // there may be none; the cause is what counts
    unavailable(directory, error)
  }
}

/**
 * @returns false when there was none
 * @throws StoreUnavailable
 */
export async function removeRecord(directory: string, keyHash: Buffer): Promise<boolean> {
  try {
    await unlink(join(directory, recordFileName(keyHash)))
    return true
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? false : unavailable(directory, error)
  }
}

/** Removes what a process that died while writing left behind. @throws StoreUnavailable */
export async function removeLeftovers(directory: string, now: number): Promise<void> {
  const names = await readdir(directory).catch(error => unavailable(directory, error))
  for (const name of names.filter(name => temporaryPattern.test(name))) {
    const path = join(directory, name)
    const found = await lstat(path).catch(() => null)
    if (found !== null && now - found.mtimeMs > temporaryLifeMs) await unlink(path).catch(() => {})
  }
}

/** @throws StoreUnavailable when the folder is gone: then no answer about a session is true */
export async function folderIsThere(directory: string): Promise<void> {
  const found = await lstat(directory).catch(error => unavailable(directory, error))
  if (!found.isDirectory()) unavailable(directory, new Error('it is no folder any more'))
}

async function writeNew(path: string, bytes: Buffer): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(bytes)
    await file.datasync()
  } finally {
    await file.close()
  }
}

function unavailable(directory: string, error: unknown): never {
  const code = codeOf(error)
  const cause =
    code === 'ENOSPC' || code === 'EDQUOT'
      ? 'it is full; free space or move POSTERN_SESSION_DIR'
      : errorText(error)
  throw new StoreUnavailable(`session folder ${directory} cannot be used: ${cause}`, { cause: error })
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}
