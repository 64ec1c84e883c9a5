// Core with the API of providers, applications, flows and bindings on a real listener, over a database of its own with flows and scope
// mappings; and people to ask it as.
import type { TestContext } from 'node:test'
import type { RouteOptions } from 'fastify'
import { registerApiRoutes } from '../../src/core/api/api-routes.ts'
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
import type { NewUser } from '../../src/core/users/new-user.sql.ts'
import { sql } from '../../src/pg/db.ts'
import * as api from '../core/ask.ts'
import { bareCore, deafBus, type Published, serve } from '../core/bare-core.ts'
import { addKeyholder, type Keyholder } from '../core/people.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'

export type Answer = api.Answer<Record<string, unknown>>

export interface Person extends Keyholder {
  /** @param path below `/api/v3` */
  ask(method: string, path: string, body?: unknown): Promise<Answer>
}

export interface TestCore {
  core: Core
  database: TestDatabase
  origin: string
  routes: RouteOptions[]
  /** messages published on the bus */
  published: Published
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
  const published: Published = []
  const core = bareCore(db, { bus: deafBus(published), baseUrl: new URL('https://core.example.com') })
  await ensureInstallation(db, core.installationId, core.secrets.fingerprint)
  const { origin, routes } = await serve(t, core, app => {
    registerApiRoutes(app, core)
    registerProviderRoutes(app, core)
    registerApplicationRoutes(app, core)
    registerBindingRoutes(app, core)
    registerFlowApiRoutes(app, core)
  })

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

  const person: TestCore['person'] = async (username, permissions, user) =>
    asPerson(await addKeyholder(core, username, permissions, user))
  const asPerson = (made: Keyholder): Person => ({
    ...made,
    ask: (...args) => api.askApi(origin, made.key, ...args),
  })
  const admin = asPerson(await addKeyholder(core, 'akadmin', 'superuser', { email: 'akadmin@example.com' }))
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
  return api.askApi(core.origin, '', method, path, body)
}
