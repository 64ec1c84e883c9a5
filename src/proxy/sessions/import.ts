// `postern sessions import`: takes the sessions of the filesystem store over into another store, so that an outpost can
// change its backend and nobody is logged out. The records are moved as they are; nobody can read them here.
import { folderIsThere, removeRecord } from './session-folder.ts'
import type { SessionStore } from './store.ts'
import { readLiveRecords } from './store-filesystem.ts'

/**
 * Saves every live record of a session folder in `to`, then takes its file away: importing twice must not bring back what
 * was ended in between. Running it again after a failure goes on where it stopped.
 * @param options.directory folder of the filesystem store
 * @param options.to a prepared store
 * @param options.keepFiles leave the files; then import only once
 * @returns how many records were saved
 * @throws StoreUnavailable when folder or store cannot be reached
 */
export async function importSessions(options: {
  directory: string
  to: SessionStore
  keepFiles?: boolean
  now?: number
}): Promise<number> {
  const { directory, to, keepFiles = false, now = Date.now() } = options
  await folderIsThere(directory)
  let imported = 0
  for await (const record of readLiveRecords(directory, now)) {
    await to.save(record)
    if (!keepFiles) await removeRecord(directory, record.keyHash)
    imported++
  }
  return imported
}
