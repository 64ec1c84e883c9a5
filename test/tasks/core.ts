// Core's task API on a real listener, with an engine that works, over a database of its own.
import type { TestContext } from 'node:test'
import { registerTaskRoutes } from '../../src/core/api/task-routes.ts'
import type { Core } from '../../src/core/core.ts'
import { ensureInstallation } from '../../src/core/installation/installation.sql.ts'
import type { AnyActor } from '../../src/pg/tasks/actor.ts'
import { bareCore, serve } from '../core/bare-core.ts'
import { addKeyholder } from '../core/people.ts'
import { testDatabase } from '../postgres.ts'
import { startTaskProcess } from './process.ts'

/** @returns the origin, `person` (a token's key for a user with these permissions) and everything behind the API */
export async function startTaskCore(t: TestContext, actors: (core: Core, node: string) => AnyActor[]) {
  const database = await testDatabase(t)
  const core = bareCore(database.db)
  await ensureInstallation(database.db, core.installationId, core.secrets.fingerprint)
  const engine = await startTaskProcess(database.target, actors(core, 'worker'))
  t.after(() => engine.close())
  const { origin } = await serve(t, core, app => registerTaskRoutes(app, core, engine.tasks))
  const person = async (username: string, permissions: string[] | 'superuser' = []) =>
    (await addKeyholder(core, username, permissions)).key
  return { core, database, engine, origin, admin: await person('akadmin', 'superuser'), person }
}
