// Core with the API's routes on a real listener, over a database of its own, and people to ask it as.
import type { TestContext } from 'node:test'
import type { RouteOptions } from 'fastify'
import { registerApiRoutes } from '../../src/core/api/api-routes.ts'
import { insertGroup } from '../../src/core/api/groups.sql.ts'
import type { Core } from '../../src/core/core.ts'
import { newCsrfValue } from '../../src/core/csrf.ts'
import { ensureInstallation } from '../../src/core/installation/installation.sql.ts'
import type { NewUser } from '../../src/core/users/new-user.sql.ts'
import { sql } from '../../src/pg/db.ts'
import { type Answer, askApi } from '../core/ask.ts'
import { bareCore, deafBus, type Published, serve } from '../core/bare-core.ts'
import { addKeyholder, type Keyholder, openSession } from '../core/people.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'

/** Somebody who can ask. */
export interface Person extends Keyholder {
  /** @param path below `/api/v3` */
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
}

export interface TestCore {
  core: Core
  database: TestDatabase
  origin: string
  routes: RouteOptions[]
  /** messages published on the bus */
  published: Published
  installationId: string
  admin: Person
  superusers: string
  /** Asks without credentials. */
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
  /** A user with a token, and a role of his own with these permissions (`name` or `name@object`). */
  person(username: string, permissions?: string[], user?: Partial<NewUser>): Promise<Person>
  /** Signs a user in. @returns the headers a browser page of ours would send */
  browser(userId: number): Promise<{ id: string; headers: Record<string, string> }>
}

export async function startCore(t: TestContext): Promise<TestCore> {
  const database = await testDatabase(t)
  const { db } = database
  const published: Published = []
  const core = bareCore(db, { bus: deafBus(published), buildHash: 'abc123' })
  const { installationId } = core
  await ensureInstallation(db, installationId, core.secrets.fingerprint)
  const { origin, routes } = await serve(t, core, app => registerApiRoutes(app, core))
  const superusers = await insertGroup(db, { name: 'authentik Admins', isSuperuser: true })
  const person: TestCore['person'] = async (username, permissions, user) => {
    const made = await addKeyholder(core, username, permissions, user)
    return { ...made, ask: (...args) => askApi(origin, made.key, ...args) }
  }
  const admin = await person('akadmin')
  await db.count(
    sql`insert into ${db.t('memberships')} (user_id, group_id) values (${admin.id}, ${superusers})`,
  )
  return {
    ...{ core, database, origin, routes, published, installationId, admin, superusers, person },
    ask: (...args) => askApi(origin, '', ...args),
    async browser(userId) {
      const { id, value, keyHash } = await openSession(core, userId, chrome)
      const csrf = newCsrfValue(core.secrets, keyHash)
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
