import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import type { Principal } from '../sessions/principal.ts'
import { isLive } from '../sessions/sessions.sql.ts'
import { asked, containsText, equals } from './filters.sql.ts'
import type { Condition, Ordering, Table } from './resource.sql.ts'
import { visibleRow } from './visible.sql.ts'

export interface AuthenticatedSessionRow {
  id: string
  user_id: number
  username: string
  last_ip: string
  user_agent: string
  last_used_at: Date
  expires_at: Date
}

export interface SessionQuery {
  search?: string
  session__last_ip?: string
  session__last_user_agent?: string
  user__username?: string
}

/** Sessions somebody is signed in with and that have not expired; the key's hash never leaves the table. */
export function sessionTable(db: Queryable): Table {
  return {
    key: sql`r.id`,
    from: sql`(
      select s.id, s.user_id, u.username, s.last_ip, s.user_agent, s.last_used_at, s.expires_at
      from ${db.t('sessions')} s join ${db.t('users')} u on u.id = s.user_id where ${isLive}
    ) r`,
    columns: sql`r.*`,
  }
}

export function sessionReach(db: Queryable, principal: Principal, action: string): Condition {
  const byPermission = visibleRow(db, principal, `authentik_core.${action}_authenticatedsession`)
  return sql<boolean>`(r.user_id = ${principal.user.id} or ${byPermission})`
}

export function sessionConditions(_db: Queryable, q: SessionQuery): Condition[] {
  return asked([
    equals(sql`r.last_ip`, q.session__last_ip),
    equals(sql`r.user_agent`, q.session__last_user_agent),
    equals(sql`r.username`, q.user__username),
    containsText([sql`r.username`, sql`r.last_ip`, sql`r.user_agent`], q.search),
  ])
}

export const sessionOrdering: Ordering = {
  user__username: sql`r.username`,
  last_used: sql`r.last_used_at`,
  session__last_ip: sql`r.last_ip`,
  session__expires: sql`r.expires_at`,
  expires: sql`r.expires_at`,
}

export interface UserWithSessions {
  id: number
  uid: string
  username: string
  sessions: number
}

/** The named users that exist, with how many sessions each has. */
export async function usersWithSessions(db: Queryable, ids: number[]): Promise<UserWithSessions[]> {
  return db.rows<UserWithSessions>(sql`
    select u.id, u.uid, u.username,
      (select count(*) from ${db.t('sessions')} s where s.user_id = u.id and ${isLive})::int as sessions
    from ${db.t('users')} u where u.id = any(${ids}::int[]) order by u.id`)
}
