// Core with the API of providers, applications, flows and bindings on a real listener, over a database of its own with flows and scope
// mappings; and people to ask it as.
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
import { registerApplicationRoutes } from '../../src/core/applications/routes.ts'
import type { Core } from '../../src/core/core.ts'
import { registerFlowApiRoutes } from '../../src/core/flows/flows-api.ts'
import {
  bindStage,
  ensureInstallation,
  insertFlow,
  insertScopeMapping,
  insertStage,
} from '../../src/core/installation/installation.sql.ts'
import { managedScopes } from '../../src/core/oidc/claims.ts'
import { createOutpost } from '../../src/core/outposts/account.ts'
import { registerBindingRoutes } from '../../src/core/policies/bindings-api.ts'
import { registerProviderRoutes } from '../../src/core/providers/routes.ts'
import { createSecrets, randomText } from '../../src/core/secrets.ts'
import { insertUser, type NewUser } from '../../src/core/users/new-user.sql.ts'
import { createPasswords } from '../../src/core/users/passwords.ts'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import { silentLog } from '../../src/log.ts'
import type { BusBody } from '../../src/pg/bus.ts'
import { sql } from '../../src/pg/db.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'

export interface Answer {
  status: number
  body: Record<string, unknown>
}

/** A user with an API token. */
export interface Person {
  id: number
  username: string
  key: string
  role: string
  /** @param path below `/api/v3` */
  ask(method: string, path: string, body?: unknown): Promise<Answer>
}

export interface TestCore {
  core: Core
  database: TestDatabase
  origin: string
  routes: RouteOptions[]
  /** messages published on the bus */
  published: { type: string; body: BusBody }[]
  admin: Person
  /** ids of flows */
  flows: { authorization: string; invalidation: string; authentication: string }
  /** A user with a token, and a role of his own with these permissions (`name` or `name@object`). */
  person(username: string, permissions?: string[], user?: Partial<NewUser>): Promise<Person>
  /** @returns the id of a new outpost that serves the providers */
  outpost(name: string, providers: number[]): Promise<string>
  revision(outpost: string): Promise<number>
  /** Body of a valid new proxy provider. */
  proxy(name: string, more?: Record<string, unknown>): Record<string, unknown>
  /** Body of a valid new OAuth2 provider. */
  oauth2(name: string, more?: Record<string, unknown>): Record<string, unknown>
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
    baseUrl: new URL('https://core.example.com'),
    trusted: createTrustedPeers([]),
    version: '0.1.0-test',
    buildHash: '',
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
  registerProviderRoutes(app, core)
  registerApplicationRoutes(app, core)
  registerBindingRoutes(app, core)
  registerFlowApiRoutes(app, core)
  await app.ready()
  const server = createServer((request, response) => app.routing(request, response))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(async () => {
    await app.close()
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  })
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  for (const scope of managedScopes) await insertScopeMapping(db, scope)
  const flow = (designation: string, authentication: string) =>
    insertFlow(db, {
      slug: `default-${designation}`,
      name: designation,
      title: designation,
      designation,
      authentication,
    })
  const flows = {
    authorization: await flow('authorization', 'require_authenticated'),
    invalidation: await flow('invalidation', 'none'),
    authentication: await flow('authentication', 'none'),
  }
  const password = await insertStage(db, 'password', 'password', {})
  await bindStage(db, flows.authentication, password, 10)

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
    return { id: made.id, username, key, role, ask: (...args) => ask(origin, key, ...args) }
  }
  const admin = await person('akadmin', [], { email: 'akadmin@example.com' })
  await db.count(
    sql`insert into ${db.t('memberships')} (user_id, group_id) values (${admin.id}, ${superusers})`,
  )
  const common = { authorization_flow: flows.authorization, invalidation_flow: flows.invalidation }
  return {
    core,
    database,
    origin,
    routes,
    published,
    admin,
    flows,
    person,
    outpost: async (name, providers) =>
      (await db.transaction(tx => createOutpost(tx, core, { name, type: 'proxy', providers, config: {} })))
        .id,
    async revision(outpost) {
      const row = await db.first<{ revision: string }>(
        sql`select revision from ${db.t('outposts')} where id = ${outpost}`,
      )
      return Number(row!.revision)
    },
    proxy: (name, more = {}) => ({
      name,
      ...common,
      external_host: `https://${name}.example.com`,
      internal_host: 'http://10.0.0.1:8080',
      ...more,
    }),
    oauth2: (name, more = {}) => ({
      name,
      ...common,
      redirect_uris: [{ matching_mode: 'strict', url: `https://${name}.example.com/callback` }],
      ...more,
    }),
  }
}

async function ask(
  origin: string,
  key: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<Answer> {
  const response = await fetch(`${origin}/api/v3${path}`, {
    method,
    headers: {
      ...(key === '' ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? {} : JSON.parse(text) }
}

/** Rows of a list. */
export function rows(answer: Answer): Record<string, unknown>[] {
  return answer.body.results as Record<string, unknown>[]
}

/** Values of one key of the rows of a list. */
export function column(answer: Answer, key: string): unknown[] {
  return rows(answer).map(row => row[key])
}

/** Asks without credentials. */
export function anonymously(core: TestCore, method: string, path: string, body?: unknown): Promise<Answer> {
  return ask(core.origin, '', method, path, body)
}
