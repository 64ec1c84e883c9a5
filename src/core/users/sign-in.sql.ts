import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

/** What is needed to judge a password and to show whose it is. */
export interface Account {
  id: number
  uid: string
  username: string
  name: string
  email: string
  is_active: boolean
  /** PHC string, null = no usable password */
  password: string | null
}

export type IdentifierField = 'username' | 'email' | 'upn'

/**
 * Accounts an identifier may mean, at most two: more than one means that it names nobody. A user name goes before the others.
 * @param exact compare letter case too
 */
export async function findAccounts(
  db: Queryable,
  identifier: string,
  fields: readonly IdentifierField[],
  exact: boolean,
): Promise<Account[]> {
  const username = fields.includes('username')
  return db.rows<Account>(sql`
    with named as (
      select u.* from ${db.t('users')} u
      where ${username} and lower(u.username) = lower(${identifier}) and (not ${exact} or u.username = ${identifier}))
    , other as (
      select u.* from ${db.t('users')} u where not exists (select from named) and (
        (${fields.includes('email')} and lower(u.email) = lower(${identifier}) and (not ${exact} or u.email = ${identifier}))
        or (${fields.includes('upn')} and u.attributes ? 'upn' and u.attributes ->> 'upn' = ${identifier}))
      limit 2)
    select id, uid, username, name, email, is_active, password from named
    union all select id, uid, username, name, email, is_active, password from other`)
}

export async function findAccount(db: Queryable, userId: number): Promise<Account | undefined> {
  return db.first<Account>(sql`
    select id, uid, username, name, email, is_active, password from ${db.t('users')} where id = ${userId}`)
}

/** Stores the same password under a new hash, unless it was changed meanwhile. */
export async function replaceHash(db: Queryable, userId: number, old: string, hash: string): Promise<void> {
  await db.count(
    sql`update ${db.t('users')} set password = ${hash} where id = ${userId} and password = ${old}`,
  )
}
