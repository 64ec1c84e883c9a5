// Core with all its routes on a real listener, a folder for media files, and people to ask it as. Several may share database and folder,
// as replicas do.
import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { insertGroup } from '../../src/core/api/groups.sql.ts'
import { grantPermissions } from '../../src/core/api/roles.sql.ts'
import { insertToken } from '../../src/core/api/tokens.sql.ts'
import { createApp } from '../../src/core/app.ts'
import type { Core } from '../../src/core/core.ts'
import { ensureInstallation } from '../../src/core/installation/installation.sql.ts'
import type { MediaFigures } from '../../src/core/media/serve.ts'
import { registerRoutes } from '../../src/core/routes.ts'
import { createSecrets, randomText } from '../../src/core/secrets.ts'
import { insertUser } from '../../src/core/users/new-user.sql.ts'
import { createPasswords } from '../../src/core/users/passwords.ts'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import { createLog } from '../../src/log.ts'
import { sql } from '../../src/pg/db.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'

export interface Answer {
  status: number
  headers: Headers
  body: Record<string, unknown>
}

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

const secrets = createSecrets('a test key that is long enough for it')
const installationId = randomUUID()

export async function startCore(t: TestContext): Promise<TestCore> {
  const database = await testDatabase(t)
  const { db } = database
  const folder = await mkdtemp(join(tmpdir(), 'postern-media-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const directory = join(folder, 'media')
  await webPages(join(folder, 'web'))
  await ensureInstallation(db, installationId, secrets.fingerprint)
  const replica = (where = directory) => startReplica(t, database, where, join(folder, 'web'))
  const first = await replica()
  const superusers = await insertGroup(db, { name: 'authentik Admins', isSuperuser: true })
  const person = async (username: string, permissions: string[]) => {
    const user = await insertUser(db, installationId, { username, name: username })
    const role = await db.first<{ id: string }>(
      sql`insert into ${db.t('roles')} (name) values (${username}) returning id`,
    )
    await db.count(sql`insert into ${db.t('role_users')} (role_id, user_id) values (${role!.id}, ${user.id})`)
    await grantPermissions(db, role!.id, permissions, null)
    const key = randomText(60)
    const token = { identifier: username, intent: 'api' as const, description: '', expiresAt: null }
    await insertToken(db, secrets, { ...token, userId: user.id, key })
    return { id: user.id, key }
  }
  const { id, key } = await person('akadmin', [])
  await db.count(sql`insert into ${db.t('memberships')} (user_id, group_id) values (${id}, ${superusers})`)
  return {
    ...first,
    database,
    directory,
    admin: first.as(key),
    person: async (username, permissions) => first.as((await person(username, permissions)).key),
    replica,
  }
}

async function startReplica(
  t: TestContext,
  database: TestDatabase,
  mediaDirectory: string,
  webDirectory: string,
): Promise<Replica> {
  const lines: Replica['log'] = []
  const core: Core = {
    installationId,
    db: database.db,
    bus: {
      publish: () => {},
      subscribe: () => () => {},
      onResync: () => () => {},
      healthy: () => true,
      close: async () => {},
    },
    log: createLog({ level: 'info', logger: 'test', write: line => lines.push(JSON.parse(line)) }),
    secrets,
    passwords: createPasswords({ concurrency: 1 }),
    baseUrl: new URL('http://core.test'),
    trusted: createTrustedPeers([]),
    version: '0.1.0-test',
    buildHash: '',
    cookieDomain: '',
    webDirectory,
    mediaDirectory,
    setupToken: '',
    now: () => new Date(),
  }
  const app = createApp(core)
  const { media } = registerRoutes(app, core)
  await app.ready()
  const server = createServer((request, response) => app.routing(request, response))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(async () => {
    await app.close()
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  })
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { core, origin, media, log: lines, as: key => personOf(origin, key) }
}

function personOf(origin: string, key: string): Person {
  const headers = key === '' ? {} : { authorization: `Bearer ${key}` }
  const ask = async (path: string, init: RequestInit): Promise<Answer> => {
    const response = await fetch(`${origin}/api/v3${path}`, init)
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: text === '' ? {} : JSON.parse(text) }
  }
  return {
    key,
    ask: (method, path, body) =>
      ask(path, {
        method,
        ...(body === undefined
          ? { headers }
          : { headers: { ...headers, 'content-type': 'application/json' } }),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    upload(file, fields = {}, filename = 'file.png') {
      const form = new FormData()
      for (const [name, value] of Object.entries(fields)) form.append(name, value)
      if (file !== undefined) form.append('file', file, filename)
      return ask('/admin/file/', { method: 'POST', headers, body: form })
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

/** Asks until the answer is true. @throws Error after half a minute */
export async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  const until = performance.now() + 30_000
  while (!(await condition())) {
    if (performance.now() > until) throw new Error('it did not happen')
    await new Promise(resolve => setImmediate(resolve))
  }
}
