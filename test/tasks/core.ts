// Core's task API on a real listener, with an engine that works, over a database of its own.
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { insertGroup } from '../../src/core/api/groups.sql.ts'
import { grantPermissions } from '../../src/core/api/roles.sql.ts'
import { registerTaskRoutes } from '../../src/core/api/task-routes.ts'
import { insertToken } from '../../src/core/api/tokens.sql.ts'
import { createApp } from '../../src/core/app.ts'
import type { Core } from '../../src/core/core.ts'
import { ensureInstallation } from '../../src/core/installation/installation.sql.ts'
import { createSecrets, randomText } from '../../src/core/secrets.ts'
import { insertUser } from '../../src/core/users/new-user.sql.ts'
import { createPasswords } from '../../src/core/users/passwords.ts'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import { silentLog } from '../../src/log.ts'
import { sql } from '../../src/pg/db.ts'
import type { AnyActor } from '../../src/pg/tasks/actor.ts'
import { testDatabase } from '../postgres.ts'
import { startTaskProcess } from './process.ts'

/** @returns the origin, `person` (a token's key for a user with these permissions) and everything behind the API */
export async function startTaskCore(t: TestContext, actors: (core: Core, node: string) => AnyActor[]) {
  const database = await testDatabase(t)
  const { db } = database
  const secrets = createSecrets('a test key that is long enough for it')
  const { id: installationId } = await ensureInstallation(db, randomUUID(), secrets.fingerprint)
  const core: Core = {
    installationId,
    db,
    bus: {
      publish() {},
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
    buildHash: '',
    cookieDomain: '',
    webDirectory: '',
    mediaDirectory: '',
    setupToken: '',
    now: () => new Date(),
  }
  const engine = await startTaskProcess(database.target, actors(core, 'worker'))
  const app = createApp(core)
  registerTaskRoutes(app, core, engine.tasks)
  await app.ready()
  const server = createServer((request, response) => app.routing(request, response))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(async () => {
    await app.close()
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
    await engine.close()
  })
  const superusers = await insertGroup(db, { name: 'authentik Admins', isSuperuser: true })

  async function person(username: string, permissions: string[] = []): Promise<string> {
    const user = await insertUser(db, installationId, { username, name: username })
    const role = await db.first<{ id: string }>(
      sql`insert into roles (name) values (${`role of ${username}`}) returning id`,
    )
    await db.count(sql`insert into role_users (role_id, user_id) values (${role!.id}, ${user.id})`)
    for (const permission of permissions) {
      const [name = '', object] = permission.split('@')
      await grantPermissions(db, role!.id, [name], object ?? null)
    }
    const key = randomText(60)
    await insertToken(db, secrets, {
      identifier: `key-of-${user.id}`,
      intent: 'api',
      userId: user.id,
      description: '',
      key,
      expiresAt: null,
    })
    return key
  }
  const admin = await person('akadmin')
  await db.count(
    sql`insert into memberships (user_id, group_id) select id, ${superusers}::uuid from users where username = 'akadmin'`,
  )
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { core, database, engine, origin, admin, person }
}
