import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import type { BrowserSession, Principal, UserType } from './principal.ts'

interface PrincipalRow {
  user_id: number
  uuid: string
  uid: string
  username: string
  name: string
  email: string
  email_verified: boolean
  type: UserType
  path: string
  attributes: Record<string, unknown>
  is_superuser: boolean
  groups: { id: string; name: string }[]
  role_ids: string[]
  permissions: string[]
}

/** User, groups, roles and global permissions as columns, for a statement in which `u` is a row of `users` joined with `held`. */
function principalColumns(db: Queryable) {
  return sql`
    u.id as user_id, u.uuid, u.uid, u.username, u.name, u.email, u.email_verified, u.type, u.path, u.attributes,
    member.is_superuser, member.groups, held.role_ids,
    array(
      select distinct rp.permission from ${db.t('role_permissions')} rp
      where rp.role_id = any(held.role_ids) and rp.object_id is null
    ) as permissions`
}

/**
 * Groups of `u` with their ancestors as `member`, and roles, direct and through them, as `held`. `offset 0` keeps the planner from
 * writing a subquery out wherever its columns are used: planning is most of what this statement costs.
 */
function held(db: Queryable) {
  return sql`
    cross join lateral (
      select coalesce(bool_or(g.is_superuser), false) as is_superuser, array_agg(g.id) as ids,
        coalesce(
          json_agg(json_build_object('id', g.id, 'name', g.name) order by g.name) filter (where g.id = m.group_id), '[]'
        ) as groups
      from ${db.t('memberships')} m
      join ${db.t('group_closure')} c on c.group_id = m.group_id
      join ${db.t('groups')} g on g.id = c.ancestor_id
      where m.user_id = u.id offset 0
    ) member
    cross join lateral (
      select array(
        select ru.role_id from ${db.t('role_users')} ru where ru.user_id = u.id
        union
        select rg.role_id from ${db.t('role_groups')} rg where rg.group_id = any(member.ids)
      ) as role_ids offset 0
    ) held`
}

function toPrincipal(row: PrincipalRow): Principal {
  return {
    user: {
      id: row.user_id,
      uuid: row.uuid,
      uid: row.uid,
      username: row.username,
      name: row.name,
      email: row.email,
      email_verified: row.email_verified,
      type: row.type,
      path: row.path,
      attributes: row.attributes,
    },
    isSuperuser: row.is_superuser,
    groups: row.groups,
    roleIds: row.role_ids,
    permissions: new Set(row.permissions),
  }
}

/** Of a row `s` of `sessions`: neither its end nor its idle limit has come. */
export const isLive = sql`(s.expires_at > now() and (s.idle_limit is null or s.last_used_at + s.idle_limit > now()))`

interface SessionRow extends Omit<PrincipalRow, 'user_id'> {
  user_id: number | null
  id: string
  key_hash: Buffer
  created_at: Date
  last_used_at: Date
  expires_at: Date
  auth_method: string
  auth_args: Record<string, unknown>
  auth_at: Date | null
  last_ip: string
  user_agent: string
  read_after: string | null
}

/** Session, user, groups, roles, permissions: the one statement of an authenticated request. Expired, or of an inactive user: undefined. */
export async function findSession(db: Queryable, keyHash: Buffer): Promise<BrowserSession | undefined> {
  const row = await db.first<SessionRow>(sql`
    select s.id, s.key_hash, s.created_at, s.last_used_at, s.expires_at, s.auth_method, s.auth_args, s.auth_at, s.last_ip,
      s.user_agent, s.read_after, ${principalColumns(db)}
    from ${db.t('sessions')} s
    left join ${db.t('users')} u on u.id = s.user_id
    ${held(db)}
    where s.key_hash = ${keyHash} and ${isLive} and (s.user_id is null or u.is_active)`)
  if (row === undefined) return undefined
  return {
    id: row.id,
    keyHash: row.key_hash,
    principal: row.user_id === null ? null : toPrincipal({ ...row, user_id: row.user_id }),
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
    expiresAt: row.expires_at,
    authMethod: row.auth_method,
    authArgs: row.auth_args,
    authAt: row.auth_at,
    lastIp: row.last_ip,
    userAgent: row.user_agent,
    readAfter: row.read_after,
  }
}

export interface BearerRow {
  via: 'token' | 'oauth'
  /** of the token; null for an OAuth access token */
  tokenId: string | null
  /** of the token */
  lastUsedAt: Date | null
  createdAt: Date
  /** position in the log of what was written last with the token; null = nothing */
  readAfter: string | null
  principal: Principal
}

/** Principal behind a bearer key: an API token, else an OAuth access token with the scope `goauthentik.io/api`. */
export async function findBearer(db: Queryable, keyHash: Buffer): Promise<BearerRow | undefined> {
  const row = await db.first<
    PrincipalRow & {
      via: 'token' | 'oauth'
      token_id: string | null
      token_used_at: Date | null
      created_at: Date
      read_after: string | null
    }
  >(sql`
    with found as (
      select 'token' as via, t.id as token_id, t.last_used_at as token_used_at, t.created_at, t.read_after, t.user_id from ${db.t('tokens')} t
      where t.key_hash = ${keyHash} and t.intent = 'api' and (t.expires_at is null or t.expires_at > now())
      union all
      select 'oauth', null, null, a.created_at, null, a.user_id from ${db.t('oauth_access_tokens')} a
      where a.token_hash = ${keyHash} and a.expires_at > now() and a.revoked_at is null and 'goauthentik.io/api' = any(a.scopes)
      limit 1
    )
    select found.via, found.token_id, found.token_used_at, found.created_at, found.read_after, ${principalColumns(db)}
    from found join ${db.t('users')} u on u.id = found.user_id and u.is_active
    ${held(db)}`)
  if (row === undefined) return undefined
  return {
    via: row.via,
    tokenId: row.token_id,
    lastUsedAt: row.token_used_at,
    createdAt: row.created_at,
    readAfter: row.read_after,
    principal: toPrincipal(row),
  }
}

/** Principal of a user by id, whoever asks (policies, token grants). Inactive: undefined. */
export async function findPrincipal(db: Queryable, userId: number): Promise<Principal | undefined> {
  const row = await db.first<PrincipalRow>(sql`
    select ${principalColumns(db)} from ${db.t('users')} u ${held(db)} where u.id = ${userId} and u.is_active`)
  return row === undefined ? undefined : toPrincipal(row)
}

/** Remembers the use of a session at most once a minute; touches no indexed column. */
export async function touchSession(db: Queryable, id: string, ip: string, userAgent: string): Promise<void> {
  await db.count(sql`
    update ${db.t('sessions')} set last_used_at = now(), last_ip = ${ip}, user_agent = ${userAgent}
    where id = ${id} and last_used_at < now() - interval '1 minute'`)
}

/** Remembers the use of an API token at most once a minute. */
export async function touchToken(db: Queryable, id: string): Promise<void> {
  await db.count(sql`
    update ${db.t('tokens')} set last_used_at = now()
    where id = ${id} and (last_used_at is null or last_used_at < now() - interval '1 minute')`)
}

export interface NewSession {
  id: string
  keyHash: Buffer
  userId: number | null
  expiresAt: Date
  ip: string
  userAgent: string
  authMethod: string
  authArgs: Record<string, unknown>
  authAt: Date | null
  /** seconds without use after which it is over; default: none */
  idleSeconds?: number
}

export async function insertSession(db: Queryable, s: NewSession): Promise<void> {
  await db.count(sql`
    insert into ${db.t('sessions')} (id, key_hash, user_id, expires_at, last_ip, user_agent, auth_method, auth_args, auth_at, idle_limit)
    values (${s.id}, ${s.keyHash}, ${s.userId}, ${s.expiresAt}, ${s.ip}, ${s.userAgent}, ${s.authMethod},
      ${JSON.stringify(s.authArgs)}, ${s.authAt}, ${s.idleSeconds ?? null}::float8 * interval '1 second')`)
}
