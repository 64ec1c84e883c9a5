// Core with every route it has, on a real listener over a database with the default objects; and what attackers begin with.
import { randomUUID } from 'node:crypto'
import type { TestContext } from 'node:test'
import type { RouteOptions } from 'fastify'
import type { Core } from '../../src/core/core.ts'
import { registerRoutes } from '../../src/core/routes.ts'
import { randomText, sha256 } from '../../src/core/secrets.ts'
import { createLog } from '../../src/log.ts'
import { sql } from '../../src/pg/db.ts'
import { listen, originOf, serve } from '../core/bare-core.ts'
import { startCore, type TestCore } from '../flows/core-app.ts'
import { addUser as addSignedIn, type TestCore as OidcCore, type TestUser } from '../oidc/core-app.ts'

export interface WholeCore extends TestCore {
  routes: RouteOptions[]
  /** lines of level error, parsed: a request that failed inside leaves one */
  failures: Record<string, unknown>[]
}

/** `akadmin` has the password of test/flows/core-app.ts. */
export async function startWholeCore(t: TestContext): Promise<WholeCore> {
  const test = await startCore(t)
  const failures: Record<string, unknown>[] = []
  const log = createLog({ level: 'error', logger: 'test', write: line => failures.push(JSON.parse(line)) })
  const server = await listen()
  const base = originOf(server)
  const core: Core = { ...test.core, log, baseUrl: new URL(base) }
  const { routes } = await serve(t, core, app => void registerRoutes(app, core), server)
  return { ...test, core, base, routes, failures }
}

/** A signed-in user with an API token; a superuser if asked. */
export async function addPerson(
  test: TestCore,
  username: string,
  options: { superuser?: boolean; intent?: 'api' | 'app_password' } = {},
): Promise<TestUser & { key: string }> {
  const { core } = test
  const user = await addSignedIn(test as unknown as OidcCore, username)
  const key = randomText(60)
  await core.db.count(sql`insert into tokens (identifier, intent, user_id, key_hash)
    values (${randomUUID()}, ${options.intent ?? 'api'}, ${user.id}, ${sha256(key)})`)
  if (options.superuser === true)
    await core.db.count(sql`with g as (select id from groups where is_superuser limit 1)
      insert into memberships (user_id, group_id) select ${user.id}, id from g`)
  return { ...user, key }
}
