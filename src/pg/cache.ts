// A cache in two levels: the process's own memory, then an unlogged table all processes share. What it holds can be made again at any
// time; nothing is decided by what it does not hold. An error of the database is a miss, never an answer.
import { LRUCache } from 'lru-cache'
import { errorText, type Log } from '../log.ts'
import { gather } from './batch.ts'
import type { Bus } from './bus.ts'
import { createGenerations } from './cache-generations.ts'
import { addEntry, claimEntries, dropClaim, type NewEntry, readEntries, writeEntries } from './cache-rows.ts'
import { cacheKey, decodeValue, encodeValue } from './cache-values.ts'
import type { Db, Tx } from './db.ts'

export interface CacheUse<T> {
  /** A value is never used longer. */
  ttlMs: number
  /** From here on one process makes it anew while the others use the old one. Default: half of `ttlMs`. */
  softMs?: number
  /** False for decisions of weight for security: then only the shared table is used. Default true. */
  memory?: boolean
  /** False for what one statement makes: then only this process keeps it, for half a minute at most. Default true. */
  table?: boolean
  /** Makes the value; it must have a JSON form. What it throws goes to the caller and is not kept. */
  load: () => Promise<T>
}

export interface Cache {
  /** The value of a key, made when there is none. Everybody gets the same object, frozen: it went through JSON. */
  get<T>(namespace: string, key: string, use: CacheUse<T>): Promise<T>
  /** Puts a value unless a live one is there. @returns whether it was put. @throws PgError when the database cannot be asked */
  add(namespace: string, key: string, value: unknown, ttlMs: number): Promise<boolean>
  /** Forgets everything of a namespace, in all processes; inside a transaction once it is committed. */
  invalidate(namespace: string, tx?: Tx): Promise<void>
  readonly figures: CacheFigures
  close(): void
}

export interface LevelFigures {
  hits: number
  misses: number
}

export interface CacheFigures {
  memory: LevelFigures
  table: LevelFigures
  loads: number
  /** of the table; each was taken for a miss */
  errors: number
  /** values too large or without a JSON form: used, not kept */
  skipped: number
}

interface Entry {
  value: unknown
  size: number
  loadMs: number
  /** ms, `performance.now()` */
  softAt: number
  hardAt: number
}

/** Bound of what a lost message can cost. */
const longestInMemoryMs = 30_000
const memoryEntries = 20_000
const memoryBytes = 64 * 1024 * 1024
const claimMs = 30_000
/** Keys in one statement of the table, and statements of a kind under way at a time. */
const gathered = { most: 200, atOnce: 2 }

/**
 * @param options.random for tests; decides who makes a value anew a little before it is due
 * @param options.waitMs how long a value another process makes is waited for; default 250
 */
export function createCache(options: {
  db: Db
  bus: Bus
  log: Log
  random?: () => number
  waitMs?: number
}): Cache {
  const { db, bus, log, random = Math.random, waitMs = 250 } = options
  const memory = new LRUCache<string, Entry>({
    max: memoryEntries,
    maxSize: memoryBytes,
    sizeCalculation: entry => entry.size,
  })
  const generations = createGenerations({ db, bus })
  const flights = new Map<string, Promise<Entry>>()
  const figures: CacheFigures = {
    memory: { hits: 0, misses: 0 },
    table: { hits: 0, misses: 0 },
    loads: 0,
    errors: 0,
    skipped: 0,
  }
  let troubled = false
  const read = gather({ ...gathered, run: (keys: Buffer[]) => readEntries(db, keys) })
  const claim = gather({ ...gathered, run: (keys: Buffer[]) => claimEntries(db, keys, claimMs) })
  // Values may be long, so fewer of them share a statement.
  const write = gather({
    ...{ most: 50, atOnce: 2 },
    run: async (entries: NewEntry[]) => {
      await writeEntries(db, entries)
      return entries.map(() => true)
    },
  })

  /** An error of the table is counted and logged once per outage. */
  async function orMiss<T>(ask: () => Promise<T>): Promise<T | undefined> {
    try {
      const answer = await ask()
      troubled = false
      return answer
    } catch (error) {
      figures.errors++
      if (!troubled) log.warning('cache not available, values are made anew', { error: errorText(error) })
      troubled = true
      return undefined
    }
  }

  /** Nearing its soft end, a value is made anew by chance, the sooner the longer that takes: not by all at once. */
  function isDue(entry: Entry): boolean {
    return performance.now() - entry.loadMs * Math.log(1 - random()) >= entry.softAt
  }

  /** Those who ask at the same time share one answer. */
  function inFlight(name: string, begin: () => Promise<Entry>): Promise<Entry> {
    const flight = flights.get(name) ?? begin().finally(() => flights.delete(name))
    flights.set(name, flight)
    return flight
  }

  async function unkept<T>(use: CacheUse<T>): Promise<Entry> {
    figures.loads++
    return { value: await use.load(), size: 0, loadMs: 0, softAt: 0, hardAt: 0 }
  }

  async function fly<T>(key: Buffer, use: CacheUse<T>): Promise<Entry> {
    const stored = await fromTable(key)
    if (stored !== undefined && !isDue(stored)) {
      figures.table.hits++
      return stored
    }
    figures.table.misses++
    const claimed = await orMiss(() => claim(key))
    if (claimed === false) {
      if (stored !== undefined) return stored
      const made = await waitForOthers(key)
      if (made !== undefined) return made
    }
    try {
      return await load(key, use)
    } catch (error) {
      if (claimed === true) await orMiss(() => dropClaim(db, key))
      if (stored === undefined) throw error
      log.warning('value not made anew, the last one is used', { error: errorText(error) })
      return stored
    }
  }

  async function fromTable(key: Buffer): Promise<Entry | undefined> {
    return await orMiss(async () => {
      const row = await read(key)
      if (row === undefined) return undefined
      const now = performance.now()
      return {
        value: decodeValue(row.value),
        size: row.value.length + 100,
        loadMs: row.load_ms,
        softAt: now + row.soft_in,
        hardAt: now + row.hard_in,
      }
    })
  }

  /** Another process makes it: look a few times, then make it as well. */
  async function waitForOthers(key: Buffer): Promise<Entry | undefined> {
    const until = performance.now() + waitMs
    for (let pause = 10; performance.now() < until; pause *= 2) {
      await new Promise(resolve => setTimeout(resolve, Math.min(pause, until - performance.now())))
      const made = await fromTable(key)
      if (made !== undefined) return made
    }
    return undefined
  }

  async function load<T>(key: Buffer | undefined, use: CacheUse<T>): Promise<Entry> {
    figures.loads++
    const began = performance.now()
    const made = await use.load()
    const loadMs = performance.now() - began
    const softMs = Math.min(use.softMs ?? use.ttlMs / 2, use.ttlMs)
    const encoded = encodeValue(made)
    const times = { loadMs, softAt: began + loadMs + softMs, hardAt: began + loadMs + use.ttlMs }
    if (encoded === undefined) {
      figures.skipped++
      log.warning('value not kept: too large, or without a JSON form', { key: key?.toString('hex') })
      return { value: made, size: 0, ...times, hardAt: 0 }
    }
    if (key) await orMiss(() => write({ key, value: encoded, loadMs, softMs, hardMs: use.ttlMs }))
    return { value: decodeValue(encoded), size: encoded.length + 100, ...times }
  }

  return {
    figures,
    async get<T>(namespace: string, key: string, use: CacheUse<T>): Promise<T> {
      const generation = generations.known(namespace) ?? (await orMiss(() => generations.ask(namespace)))
      // Without it nothing is kept.
      if (generation === undefined)
        return (await inFlight(`${namespace}\0${key}`, () => unkept(use))).value as T
      const name = `${namespace}\0${generation}\0${key}`
      if (use.memory !== false) {
        const entry = memory.get(name)
        if (entry !== undefined && performance.now() < entry.hardAt && !isDue(entry)) {
          figures.memory.hits++
          return entry.value as T
        }
        figures.memory.misses++
      }
      const entry = await inFlight(name, () =>
        use.table === false ? load(undefined, use) : fly(cacheKey(namespace, generation, key), use),
      )
      if (use.memory !== false && entry.size > 0) keep(name, entry)
      return entry.value as T
    },
    async add(namespace, key, value, ttlMs) {
      const generation = generations.known(namespace) ?? (await generations.ask(namespace))
      const encoded = encodeValue(value)
      if (encoded === undefined)
        throw new RangeError('a value that is too large for the cache, or has no JSON form')
      const entry: NewEntry = {
        key: cacheKey(namespace, generation, key),
        value: encoded,
        loadMs: 0,
        softMs: ttlMs,
        hardMs: ttlMs,
      }
      return await addEntry(db, entry)
    },
    invalidate: generations.raise,
    close() {
      generations.close()
      memory.clear()
    },
  }

  function keep(name: string, entry: Entry): void {
    const left = Math.min(entry.hardAt - performance.now(), longestInMemoryMs)
    if (left <= 0 || memory.get(name) === entry) return
    memory.set(name, {
      ...entry,
      hardAt: performance.now() + left,
      softAt: Math.min(entry.softAt, performance.now() + left),
    })
  }
}
