import { createHmac, randomUUID } from 'node:crypto'
import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import type { UserType } from '../sessions/principal.ts'

export interface NewUser {
  username: string
  name?: string
  email?: string
  type?: UserType
  path?: string
  isActive?: boolean
  attributes?: Record<string, unknown>
}

/**
 * The one way a user comes into being. `uid`, the default OIDC `sub`, is derived from the installation and the uuid, so it is
 * stable and tells nothing.
 */
export async function insertUser(
  db: Queryable,
  installationId: string,
  user: NewUser,
): Promise<{ id: number; uuid: string; uid: string }> {
  const uuid = randomUUID()
  const uid = createHmac('sha256', installationId).update(uuid).digest('hex')
  const row = await db.first<{ id: number }>(sql`
    insert into ${db.t('users')} (uuid, uid, username, name, email, type, path, is_active, attributes)
    values (${uuid}, ${uid}, ${user.username}, ${user.name ?? ''}, ${user.email ?? ''}, ${user.type ?? 'internal'},
      ${user.path ?? 'users'}, ${user.isActive ?? true}, ${JSON.stringify(user.attributes ?? {})})
    returning id`)
  return { id: row!.id, uuid, uid }
}
