// Core with all its routes on a real listener, a folder for media files, and people to ask it as. Several may share database and folder,
// as replicas do.
import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Core } from '../../src/core/core.ts'
import { ensureInstallation } from '../../src/core/installation/installation.sql.ts'
import type { MediaFigures } from '../../src/core/media/serve.ts'
import { registerRoutes } from '../../src/core/routes.ts'
import { createLog } from '../../src/log.ts'
import * as api from '../core/ask.ts'
import { bareCore, secrets, serve } from '../core/bare-core.ts'
import { addKeyholder } from '../core/people.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'

export type Answer = api.Answer<Record<string, unknown>>

export interface Person {
  key: string
  ask(method: string, path: string, body?: unknown): Promise<Answer>
  upload(file: Blob | undefined, fields?: Record<string, string>, filename?: string): Promise<Answer>
}

export interface Replica {
  core: Core
  origin: string
  media: MediaFigures
  /** lines of its log */
  log: { event: string; [field: string]: unknown }[]
  as(key: string): Person
}

export interface TestCore extends Replica {
  database: TestDatabase
  directory: string
  admin: Person
  /** A user with a token and a role with these permissions. */
  person(username: string, permissions: string[]): Promise<Person>
  /** Another process in everything but name. @param directory default: the same one */
  replica(directory?: string): Promise<Replica>
}

const installationId = randomUUID()

export async function startCore(t: TestContext): Promise<TestCore> {
  const database = await testDatabase(t)
  const folder = await mkdtemp(join(tmpdir(), 'postern-media-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const directory = join(folder, 'media')
  await webPages(join(folder, 'web'))
  await ensureInstallation(database.db, installationId, secrets.fingerprint)
  const replica = (where = directory) => startReplica(t, database, where, join(folder, 'web'))
  const first = await replica()
  const person = async (username: string, permissions: string[] | 'superuser') =>
    first.as((await addKeyholder(first.core, username, permissions)).key)
  return { ...first, database, directory, admin: await person('akadmin', 'superuser'), person, replica }
}

async function startReplica(
  t: TestContext,
  { db }: TestDatabase,
  mediaDirectory: string,
  webDirectory: string,
): Promise<Replica> {
  const lines: Replica['log'] = []
  const log = createLog({ level: 'info', logger: 'test', write: line => lines.push(JSON.parse(line)) })
  const core = bareCore(db, { installationId, log, webDirectory, mediaDirectory })
  let media!: MediaFigures
  const { origin } = await serve(t, core, app => {
    media = registerRoutes(app, core).media
  })
  return { core, origin, media, log: lines, as: key => personOf(origin, key) }
}

function personOf(origin: string, key: string): Person {
  return {
    key,
    ask: (...args) => api.askApi(origin, key, ...args),
    upload(file, fields = {}, filename = 'file.png') {
      const form = new FormData()
      for (const [name, value] of Object.entries(fields)) form.append(name, value)
      if (file !== undefined) form.append('file', file, filename)
      return api.askApi(origin, key, 'POST', '/admin/file/', form)
    },
  }
}

/** What `vite build` leaves behind, in small. */
async function webPages(folder: string): Promise<void> {
  await mkdir(join(folder, '.vite'), { recursive: true })
  const manifest = { 'flow/main.tsx': { file: 'flow.js' }, 'user/main.tsx': { file: 'user.js' } }
  await writeFile(join(folder, '.vite/manifest.json'), JSON.stringify(manifest))
}

/** A PNG as far as its first bytes go, different for each text, of `size` bytes. */
export function png(text: string, size = 100): Blob {
  const bytes = Buffer.alloc(size, text)
  Buffer.from('\x89PNG\r\n\x1a\n\0\0\0\rIHDR', 'latin1').copy(bytes)
  return new Blob([bytes])
}

/** All files below a folder, as paths relative to it. */
export async function filesIn(directory: string): Promise<string[]> {
  const found = await readdir(directory, { recursive: true, withFileTypes: true })
  return found
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .sort()
}
