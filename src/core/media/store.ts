// Media files on the filesystem, each under the address of its content. A file appears whole or not at all: it is written beside its
// place, made durable, and renamed. Several processes may share the folder; two that save one content end with one file.
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { access, type FileHandle, mkdir, open, readdir, rename, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isContentAddress } from './names.ts'

/** A file that is on the disk and not yet at its place. */
export interface StagedFile {
  /** Puts it there; the same content there already is replaced by itself. */
  publish(): Promise<void>
  /** Removes it unless it was published. */
  discard(): Promise<void>
}

export interface MediaStore {
  /** @throws the system's error when the folder cannot be written */
  stage(address: string, bytes: Uint8Array): Promise<StagedFile>
  /** Opens a file for reading; the caller closes it. @throws the system's error, ENOENT when there is none */
  open(address: string): Promise<{ handle: FileHandle; size: number }>
  /** Removes a file; none there is fine. @throws the system's error */
  remove(address: string): Promise<void>
  /** Removes what writers that died left beside their places, when older than an hour. @returns how many */
  sweep(): Promise<number>
}

const temporary = /^\.upload-[0-9a-f]{16}\.tmp$/
const staleMs = 3_600_000

/** @param directory absolute path; empty = there is no place for files, and every call fails with ENOENT */
export function createMediaStore(directory: string): MediaStore {
  return {
    stage: (address, bytes) => stage(pathOf(directory, address), bytes),
    async open(address) {
      const handle = await open(pathOf(directory, address), constants.O_RDONLY | constants.O_NOFOLLOW)
      try {
        const { size } = await handle.stat()
        return { handle, size }
      } catch (error) {
        await handle.close()
        throw error
      }
    },
    async remove(address) {
      const path = pathOf(directory, address)
      try {
        await unlink(path)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
        throw error
      }
      await syncDirectory(dirname(path))
    },
    sweep: () => (directory === '' ? Promise.resolve(0) : sweep(directory)),
  }
}

/** True when files can be saved in the folder, as it is now. */
export async function canSaveMedia(directory: string): Promise<boolean> {
  if (directory === '') return false
  return await access(directory, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  )
}

/**
 * Creates the folder where its parent is there: a volume that is not mounted is not made up for.
 * @throws the system's error when files cannot be saved in it
 */
export async function prepareMediaDirectory(directory: string): Promise<void> {
  await ensureFolder(directory)
  await access(directory, constants.W_OK | constants.X_OK)
}

async function ensureFolder(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
}

function pathOf(directory: string, address: string): string {
  if (directory === '' || !isContentAddress(address))
    throw Object.assign(new Error('no such media file'), { code: 'ENOENT' })
  return join(directory, address)
}

async function stage(path: string, bytes: Uint8Array): Promise<StagedFile> {
  const folder = dirname(path)
  await ensureFolder(dirname(folder))
  await ensureFolder(folder)
  const staged = join(folder, `.upload-${randomBytes(8).toString('hex')}.tmp`)
  const discard = () => unlink(staged).catch(() => undefined)
  try {
    const handle = await open(staged, 'wx', 0o644)
    try {
      await handle.writeFile(bytes)
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    await discard()
    throw error
  }
  return {
    async publish() {
      await rename(staged, path)
      await syncDirectory(folder)
      // The folder itself may be as new as the file in it.
      await syncDirectory(dirname(folder))
    },
    discard,
  }
}

/** Makes a change of names durable; a filesystem that cannot sync folders keeps them by itself. */
async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await handle.sync()
  } catch (error) {
    if (!['EINVAL', 'ENOTSUP', 'EBADF'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  } finally {
    await handle.close()
  }
}

async function sweep(directory: string): Promise<number> {
  let removed = 0
  const folders = await readdir(directory).catch(() => [])
  for (const folder of folders.filter(name => /^[0-9a-f]{2}$/.test(name))) {
    const names = await readdir(join(directory, folder)).catch(() => [])
    for (const name of names.filter(one => temporary.test(one))) {
      const path = join(directory, folder, name)
      const age = await stat(path).then(
        found => Date.now() - found.mtimeMs,
        () => 0,
      )
      if (
        age > staleMs &&
        (await unlink(path).then(
          () => true,
          () => false,
        ))
      )
        removed += 1
    }
  }
  return removed
}
