// Sessions in files, for a standalone outpost without a database. An index in memory over the clear columns answers who
// belongs to a login or a user; it is rebuilt from the files, so a second process on the same folder does no harm.
import {
  folderIsThere,
  listRecords,
  prepareFolder,
  readRecord,
  removeLeftovers,
  removeRecord,
  writeRecord,
} from './session-folder.ts'
import type { SessionRecord, SessionStore } from './store.ts'

const batch = 1_000
const readAtOnce = 32

/** The clear columns of a record, as hex. */
interface IndexEntry {
  clientId: string
  sid: string | null
  user: string
  createdAt: number
  expiresAt: number
}

/**
 * @param options.directory own folder, 0700; created when missing
 * @param options.now ms since epoch
 */
export function createFilesystemStore(options: { directory: string; now?: () => number }): SessionStore {
  const { directory, now = Date.now } = options
  const index = new Map<string, IndexEntry>()
  const unreadable = new Set<string>()
  const synchronise = oneAtATime(() => readNew(directory, index, unreadable))

  async function remove(keys: string[]): Promise<number> {
    let removed = 0
    for (const key of keys) {
      if (await removeRecord(directory, Buffer.from(key, 'hex'))) removed++
      index.delete(key)
    }
    return removed
  }
  async function removeWhere(matches: (entry: IndexEntry) => boolean): Promise<number> {
    await synchronise()
    return remove([...index].filter(([, entry]) => matches(entry)).map(([key]) => key))
  }
  async function load(keyHash: Buffer): Promise<SessionRecord | null> {
    const record = await readRecord(directory, keyHash)
    if (record === null) return null
    index.set(keyHash.toString('hex'), indexEntry(record))
    return record.expiresAt.getTime() > now() ? record : null
  }

  return {
    backend: 'filesystem',
    prepare: async () => {
      await prepareFolder(directory)
      await synchronise()
    },
    load,
    live: async keyHashes => {
      const records = await inGroups(keyHashes, load)
      return records.filter(record => record !== null).map(record => record.keyHash)
    },
    save: async record => {
      await writeRecord(directory, record)
      index.set(record.keyHash.toString('hex'), indexEntry(record))
    },
    deleteByKey: async keyHash => remove([keyHash.toString('hex')]),
    deleteBySid: async sidHash => {
      const sid = sidHash.toString('hex')
      return removeWhere(entry => entry.sid === sid)
    },
    deleteByUser: async (userHash, clientId, createdBefore) => {
      const latest = timeOf(createdBefore)
      const user = userHash.toString('hex')
      return removeWhere(
        entry =>
          entry.user === user &&
          (clientId === undefined || entry.clientId === clientId) &&
          entry.createdAt <= latest,
      )
    },
    deleteByProvider: async (clientId, createdBefore) => {
      const latest = timeOf(createdBefore)
      return removeWhere(entry => entry.clientId === clientId && entry.createdAt <= latest)
    },
    deleteAll: async () => {
      const keys = await listRecords(directory)
      return remove(keys.map(key => key.toString('hex')))
    },
    cleanUp: async () => {
      await synchronise()
      await removeLeftovers(directory, now())
      const expired = [...index].filter(([, entry]) => entry.expiresAt <= now()).map(([key]) => key)
      let removed = 0
      for (let at = 0; at < expired.length; at += batch)
        removed += await remove(expired.slice(at, at + batch))
      return removed
    },
    check: () => folderIsThere(directory),
    close: async () => index.clear(),
  }
}

/**
 * Reads every live record of a folder, for copying; what is not a record is passed over.
 * @throws StoreUnavailable
 */
export async function* readLiveRecords(directory: string, now: number): AsyncGenerator<SessionRecord> {
  for (const keyHash of await listRecords(directory)) {
    const record = await readRecord(directory, keyHash)
    if (record !== null && record.expiresAt.getTime() > now) yield record
  }
}

/** Brings the index up to date with the folder: forgets what is gone, reads what is new. */
async function readNew(
  directory: string,
  index: Map<string, IndexEntry>,
  unreadable: Set<string>,
): Promise<void> {
  const present = new Map((await listRecords(directory)).map(keyHash => [keyHash.toString('hex'), keyHash]))
  for (const key of index.keys()) if (!present.has(key)) index.delete(key)
  for (const key of unreadable) if (!present.has(key)) unreadable.delete(key)
  const unknown = [...present].filter(([key]) => !index.has(key) && !unreadable.has(key))
  await inGroups(unknown, async ([key, keyHash]) => {
    const record = await readRecord(directory, keyHash)
    if (record === null) unreadable.add(key)
    else index.set(key, indexEntry(record))
  })
}

/** @returns ms since epoch; later than all when there is no limit */
function timeOf(limit: Date | undefined): number {
  return limit?.getTime() ?? Number.POSITIVE_INFINITY
}

function indexEntry(record: SessionRecord): IndexEntry {
  return {
    clientId: record.clientId,
    sid: record.sidHash?.toString('hex') ?? null,
    user: record.userHash.toString('hex'),
    createdAt: record.createdAt.getTime(),
    expiresAt: record.expiresAt.getTime(),
  }
}

async function inGroups<In, Out>(items: In[], work: (item: In) => Promise<Out>): Promise<Out[]> {
  const results: Out[] = []
  for (let at = 0; at < items.length; at += readAtOnce)
    results.push(...(await Promise.all(items.slice(at, at + readAtOnce).map(work))))
  return results
}

/** Callers that come while one run is under way share the next one: each sees a run that began after it asked. */
function oneAtATime(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null
  let queued: Promise<void> | null = null
  const start = (): Promise<void> => {
    running = work().finally(() => {
      running = null
    })
    return running
  }
  return () => {
    if (running === null) return start()
    queued ??= running
      .catch(() => {}) // the first caller has been told
      .then(() => {
        queued = null
        return start()
      })
    return queued
  }
}
