// Core with the API's routes on a real listener, over a database of its own, and people to ask it as.
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import type { RouteOptions } from 'fastify'
import { registerApiRoutes } from '../../src/core/api/api-routes.ts'
import { insertGroup } from '../../src/core/api/groups.sql.ts'
import { grantPermissions } from '../../src/core/api/roles.sql.ts'
import { insertToken } from '../../src/core/api/tokens.sql.ts'
import { createApp } from '../../src/core/app.ts'
import type { Core } from '../../src/core/core.ts'
import { newCsrfValue } from '../../src/core/csrf.ts'
import { ensureInstallation } from '../../src/core/installation/installation.sql.ts'
import { createSecrets, randomText } from '../../src/core/secrets.ts'
import { newSessionKey } from '../../src/core/sessions/cookie.ts'
import { insertSession } from '../../src/core/sessions/sessions.sql.ts'
import { insertUser, type NewUser } from '../../src/core/users/new-user.sql.ts'
import { createPasswords } from '../../src/core/users/passwords.ts'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import { silentLog } from '../../src/log.ts'
import type { BusBody } from '../../src/pg/bus.ts'
import { sql } from '../../src/pg/db.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'

export interface Answer {
  status: number
  headers: Headers
  body: unknown
}

/** Somebody who can ask: a user with an API token. */
export interface Person {
  id: number
  uid: string
  username: string
  key: string
  /** @param path below `/api/v3` */
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
}

export interface TestCore {
  core: Core
  database: TestDatabase
  origin: string
  routes: RouteOptions[]
  /** messages published on the bus */
  published: { type: string; body: BusBody }[]
  installationId: string
  admin: Person
  superusers: string
  /** Asks without credentials. */
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
  /** A user with a token, and a role of his own with these permissions (`name` or `name@object`). */
  person(
    username: string,
    permissions?: string[],
    user?: Partial<NewUser>,
  ): Promise<Person & { role: string }>
  /** Signs a user in. @returns the headers a browser page of ours would send */
  browser(userId: number): Promise<{ id: string; headers: Record<string, string> }>
}

export async function startCore(t: TestContext): Promise<TestCore> {
  const database = await testDatabase(t)
  const { db } = database
  const published: TestCore['published'] = []
  const secrets = createSecrets('a test key that is long enough for it')
  const { id: installationId } = await ensureInstallation(db, randomUUID(), secrets.fingerprint)
  const core: Core = {
    installationId,
    db,
    bus: {
      publish: (type, body = {}) => published.push({ type, body }),
      subscribe: () => () => {},
      onResync: () => () => {},
      healthy: () => true,
      close: async () => {},
    },
    log: silentLog,
    secrets,
    passwords: createPasswords({ concurrency: 1 }),
    baseUrl: new URL('http://core.test'),
    trusted: createTrustedPeers([]),
    version: '0.1.0-test',
    buildHash: 'abc123',
    cookieDomain: '',
    webDirectory: '',
    mediaDirectory: '',
    setupToken: '',
    now: () => new Date(),
  }
  const app = createApp(core)
  const routes: RouteOptions[] = []
  app.addHook('onRoute', route => {
    routes.push(route)
  })
  registerApiRoutes(app, core)
  await app.ready()
  const server = createServer((request, response) => app.routing(request, response))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(async () => {
    await app.close()
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  })
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  const superusers = await insertGroup(db, { name: 'authentik Admins', isSuperuser: true })
  const person: TestCore['person'] = async (username, permissions = [], user = {}) => {
    const made = await insertUser(db, installationId, { username, name: username, ...user })
    const row = await db.first<{ id: string }>(
      sql`insert into ${db.t('roles')} (name) values (${`role of ${username}`}) returning id`,
    )
    const role = row!.id
    await db.count(sql`insert into ${db.t('role_users')} (role_id, user_id) values (${role}, ${made.id})`)
    for (const permission of permissions) {
      const [name = '', object] = permission.split('@')
      await grantPermissions(db, role, [name], object ?? null)
    }
    const key = randomText(60)
    await insertToken(db, secrets, {
      identifier: `key-of-${made.id}`,
      intent: 'api',
      userId: made.id,
      description: '',
      key,
      expiresAt: null,
    })
    const ask: Person['ask'] = (method, path, body, headers) =>
      request(origin, method, path, body, { authorization: `Bearer ${key}`, ...headers })
    return { id: made.id, uid: made.uid, username, key, role, ask }
  }
  const admin = await person('akadmin')
  await db.count(
    sql`insert into ${db.t('memberships')} (user_id, group_id) values (${admin.id}, ${superusers})`,
  )
  return {
    core,
    database,
    origin,
    routes,
    published,
    installationId,
    admin,
    superusers,
    person,
    ask: (method, path, body, headers) => request(origin, method, path, body, headers),
    async browser(userId) {
      const id = randomUUID()
      const { value, keyHash } = newSessionKey()
      await insertSession(db, {
        id,
        keyHash,
        userId,
        expiresAt: new Date(Date.now() + 3_600_000),
        ip: '127.0.0.1',
        userAgent: chrome,
        authMethod: 'password',
        authArgs: {},
        authAt: new Date(),
      })
      const csrf = newCsrfValue(secrets, keyHash)
      return {
        id,
        headers: {
          cookie: `authentik_session=${value}; authentik_csrf=${csrf}`,
          'x-authentik-csrf': csrf,
          'user-agent': chrome,
          origin,
        },
      }
    },
  }
}

export const chrome =
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36'

async function request(
  origin: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(`${origin}/api/v3${path}`, {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json') === true
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
}
