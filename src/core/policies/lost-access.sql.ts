import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { isOpen, judgedBindings } from './bindings.sql.ts'
import type { AccessScope } from './lost-access.ts'

/** A user with something open at a proxy provider, and whether its application still is for the user. */
export interface Candidate {
  user_id: number
  uid: string
  provider_id: number
  client_id: string
  open: boolean
}

/**
 * The next users who have a token of a proxy provider in the scope, judged by the bindings of its application. Every session at an outpost
 * began with a token and ends with it, whatever the outpost keeps it in. A token that was ended counts while there is a session: one that
 * was being stored when its user's access ended.
 * @param after the last candidate of the page before
 */
export async function judgeCandidates(
  db: Queryable,
  scope: AccessScope,
  after: Pick<Candidate, 'provider_id' | 'user_id'> | undefined,
  limit: number,
): Promise<Candidate[]> {
  return db.rows<Candidate>(sql`
    with candidates as (
      select distinct t.provider_id, t.user_id from ${db.t('oauth_access_tokens')} t
      join ${db.t('proxy_providers')} x on x.provider_id = t.provider_id
      join ${db.t('oauth2_providers')} o on o.provider_id = t.provider_id
      join ${db.t('users')} u on u.id = t.user_id
      where ${inScope(db, scope)} and (t.provider_id, t.user_id) > (${after?.provider_id ?? 0}::int, ${after?.user_id ?? 0}::int)
        and t.expires_at > now() and (t.revoked_at is null or exists (
          select from ${db.t('proxy_sessions')} s
          where s.user_hash = sha256(convert_to(u.uid, 'UTF8')) and s.client_id = o.client_id))
      order by 1, 2 limit ${limit}
    )
    select who.user_id, u.uid, who.provider_id, o.client_id, ${isOpen(sql`a.policy_engine_mode`)} as open
    from candidates who
    join ${db.t('users')} u on u.id = who.user_id
    join ${db.t('oauth2_providers')} o on o.provider_id = who.provider_id
    join ${db.t('applications')} a on a.provider_id = who.provider_id
    ${judgedBindings(db, sql`who.user_id`, sql`a.id`)}
    order by who.provider_id, who.user_id`)
}

/** An application nothing is bound to is open to all: nobody has lost it. */
function inScope(db: Queryable, scope: AccessScope) {
  if ('users' in scope) return sql`t.user_id = any(${scope.users}::int[])`
  return sql`t.provider_id = any(array(
    select a.provider_id from ${db.t('applications')} a
    where a.id = any(${scope.applications}::uuid[]) and a.provider_id is not null
      and exists (select from ${db.t('policy_bindings')} b where b.target_id = a.id and b.enabled)))`
}

/** Applications (and whatever else bindings are about) that bind one of the groups, or a group above one of them. */
export async function targetsOfGroups(db: Queryable, groups: string[]): Promise<string[]> {
  const rows = await db.rows<{ id: string }>(sql`
    select distinct b.target_id as id from ${db.t('policy_bindings')} b
    join ${db.t('group_closure')} c on c.ancestor_id = b.group_id where c.group_id = any(${groups}::uuid[])`)
  return rows.map(row => row.id)
}

/** What bindings name the user. */
export async function targetsOfUser(db: Queryable, userId: number): Promise<string[]> {
  const rows = await db.rows<{ id: string }>(
    sql`select distinct target_id as id from ${db.t('policy_bindings')} where user_id = ${userId}`,
  )
  return rows.map(row => row.id)
}

/** To be judged again, by the worker. */
export async function insertReview(db: Queryable, scope: AccessScope): Promise<void> {
  const { applications, users } = { applications: [], users: [], ...scope }
  await db.count(sql`
    insert into ${db.t('access_reviews')} (applications, users) values (${applications}::uuid[], ${users}::int[])`)
}

export interface Review {
  id: number
  applications: string[]
  users: number[]
}

/** In the order of their making; ids of rows that become visible later may be lower. */
export async function listReviews(db: Queryable): Promise<Review[]> {
  const rows = await db.rows<Omit<Review, 'id'> & { id: string }>(
    sql`select id, applications, users from ${db.t('access_reviews')} order by id`,
  )
  return rows.map(row => ({ ...row, id: Number(row.id) }))
}

/**
 * Forgets reviews that were done, once the logins that were under way when they were asked for have ended.
 * @param seconds a login that began before takes no longer
 */
export async function deleteReviews(db: Queryable, ids: number[], seconds: number): Promise<number> {
  return db.count(sql`
    delete from ${db.t('access_reviews')}
    where id = any(${ids}::bigint[]) and created_at < now() - ${seconds} * interval '1 second'`)
}

/** What was bound for a time that is over since a while ago. @param seconds how far back */
export async function targetsOfEndedBindings(db: Queryable, seconds: number): Promise<string[]> {
  const rows = await db.rows<{ id: string }>(sql`
    select distinct target_id as id from ${db.t('policy_bindings')}
    where expires_at between now() - ${seconds} * interval '1 second' and now()`)
  return rows.map(row => row.id)
}
