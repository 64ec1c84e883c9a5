// Users of a Core under test: with a token and rights of their own, or signed in with a browser.
import { randomUUID } from 'node:crypto'
import { insertGroup } from '../../src/core/api/groups.sql.ts'
import { grantPermissions } from '../../src/core/api/roles.sql.ts'
import { insertToken } from '../../src/core/api/tokens.sql.ts'
import type { Core } from '../../src/core/core.ts'
import { randomText } from '../../src/core/secrets.ts'
import { newSessionKey } from '../../src/core/sessions/cookie.ts'
import { insertSession } from '../../src/core/sessions/sessions.sql.ts'
import { insertUser, type NewUser } from '../../src/core/users/new-user.sql.ts'
import { sql } from '../../src/pg/db.ts'

export interface Keyholder {
  id: number
  uid: string
  username: string
  /** of an API token */
  key: string
  /** id of a role only this user has */
  role: string
}

/** @param permissions `name`, or `name@object`; `superuser` for one who may do everything */
export async function addKeyholder(
  { db, secrets, installationId }: Pick<Core, 'db' | 'secrets' | 'installationId'>,
  username: string,
  permissions: string[] | 'superuser' = [],
  user: Partial<NewUser> = {},
): Promise<Keyholder> {
  const { id, uid } = await insertUser(db, installationId, { username, name: username, ...user })
  const row = await db.first<{ id: string }>(
    sql`insert into ${db.t('roles')} (name) values (${`role of ${username}`}) returning id`,
  )
  const role = row!.id
  await db.count(sql`insert into ${db.t('role_users')} (role_id, user_id) values (${role}, ${id})`)
  if (permissions === 'superuser') {
    const group = await insertGroup(db, { name: `group of ${username}`, isSuperuser: true })
    await db.count(sql`insert into ${db.t('memberships')} (user_id, group_id) values (${id}, ${group})`)
  } else
    for (const permission of permissions) {
      const [name = '', object] = permission.split('@')
      await grantPermissions(db, role, [name], object ?? null)
    }
  const key = randomText(60)
  const identifier = `key-of-${id}`
  await insertToken(db, secrets, {
    ...{ identifier, intent: 'api', userId: id, description: '', key, expiresAt: null },
  })
  return { id, uid, username, key, role }
}

/** Opens a session of an hour. @returns its id, and the value and hash of its cookie */
export async function openSession(
  { db, now }: Pick<Core, 'db' | 'now'>,
  userId: number,
  userAgent = 'test',
): Promise<{ id: string; value: string; keyHash: Buffer }> {
  const id = randomUUID()
  const { value, keyHash } = newSessionKey()
  await insertSession(db, {
    ...{ id, keyHash, userId, userAgent },
    expiresAt: new Date(now().getTime() + 3_600_000),
    ip: '127.0.0.1',
    authMethod: 'password',
    authArgs: {},
    authAt: now(),
  })
  return { id, value, keyHash }
}
