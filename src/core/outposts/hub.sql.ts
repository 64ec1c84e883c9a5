import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { visibleTo } from '../api/visible.sql.ts'
import type { Principal } from '../sessions/principal.ts'

export interface LinkedOutpost {
  id: string
  name: string
  config: Record<string, unknown>
}

/**
 * The outpost, if the caller may view it and speaks for it: its own account, or somebody who may change it. Merely to view it is not
 * enough, since a link ends sessions and reports which of them have ended.
 */
export async function findLinkedOutpost(
  db: Queryable,
  principal: Principal,
  id: string,
): Promise<LinkedOutpost | undefined> {
  return db.first<LinkedOutpost>(sql`
    select o.id, o.name, o.config from ${db.t('outposts')} o
    where o.id = ${id} and ${visibleTo(db, principal, 'authentik_outposts.view_outpost', sql`o.id`)}
      and (o.user_id = ${principal.user.id} or ${visibleTo(db, principal, 'authentik_outposts.change_outpost', sql`o.id`)})`)
}

/** Numbers are given before they are visible: one below the last an outpost knows may have become visible since. */
const justNow = sql`now() - interval '5 seconds'`

export interface HelloState {
  outpostId: string
  instanceId: string
  /** SHA-256 of the bearer the link was opened with; null for the link within this process */
  bearerHash: Buffer | null
  /** account of the link */
  userId: number
  args: Record<string, unknown>
  revision: number
  lastRevocation: number
  receipts: boolean
  connectedAt: Date
}

/**
 * One HELLO: the instance lives for 15 more seconds, long-gone ones of the outpost are swept, and the answer says what the instance
 * may have missed. Undefined when outpost, account or bearer are no longer good.
 */
export async function saveHello(
  db: Queryable,
  h: HelloState,
): Promise<{ revision: number; missed: boolean } | undefined> {
  const row = await db.first<{ revision: string; missed: boolean }>(sql`
    with o as (
      select x.id, x.revision from ${db.t('outposts')} x
      where x.id = ${h.outpostId} and exists (
        select from ${db.t('users')} u where u.id = ${h.userId} and u.is_active
      ) and (${h.bearerHash}::bytea is null or exists (
        select from ${db.t('tokens')} t where t.key_hash = ${h.bearerHash} and t.user_id = ${h.userId} and t.intent = 'api'
          and (t.expires_at is null or t.expires_at > now())
      ) or exists (
        select from ${db.t('oauth_access_tokens')} a where a.token_hash = ${h.bearerHash} and a.user_id = ${h.userId}
          and a.revoked_at is null and a.expires_at > now()
      ))
    ), present as (
      insert into ${db.t('outpost_instances')} as i
        (outpost_id, instance_id, hello, revision, last_revocation, receipts, connected_at, expires_at)
      select o.id, ${h.instanceId}, ${JSON.stringify(h.args)}::jsonb, ${h.revision}::bigint, ${h.lastRevocation}::bigint,
        ${h.receipts}::boolean, ${h.connectedAt}::timestamptz, now() + interval '15 seconds' from o
      on conflict (outpost_id, instance_id) do update set hello = excluded.hello, revision = excluded.revision,
        last_revocation = excluded.last_revocation, receipts = excluded.receipts, connected_at = excluded.connected_at,
        last_seen_at = now(), expires_at = excluded.expires_at
    ), gone as (
      delete from ${db.t('outpost_instances')} where (outpost_id, instance_id) in (
        select outpost_id, instance_id from ${db.t('outpost_instances')}
        where outpost_id = ${h.outpostId} and instance_id <> ${h.instanceId} and expires_at < now() - interval '1 minute'
        for update skip locked)
    )
    select o.revision, (
      exists (select from ${db.t('revocations')} where id > ${h.lastRevocation}::bigint)
      or exists (select from ${db.t('revocations')} where created_at > ${justNow})
    ) as missed from o`)
  return row === undefined ? undefined : { revision: Number(row.revision), missed: row.missed }
}

/** Forgets an instance that said goodbye, unless it has connected again since, here or elsewhere. */
export async function forgetInstance(
  db: Queryable,
  i: { outpostId: string; instanceId: string; connectedAt: Date },
): Promise<void> {
  await db.count(sql`
    delete from ${db.t('outpost_instances')}
    where outpost_id = ${i.outpostId} and instance_id = ${i.instanceId} and connected_at <= ${i.connectedAt}`)
}

/** Revisions of the outposts that still exist. */
export async function revisionsOf(db: Queryable, ids: string[]): Promise<Map<string, number>> {
  const rows = await db.rows<{ id: string; revision: string }>(
    sql`select id, revision from ${db.t('outposts')} where id = any(${ids}::uuid[])`,
    { retry: true },
  )
  return new Map(rows.map(row => [row.id, Number(row.revision)]))
}

export interface RevocationRow {
  id: number
  /** ms since epoch */
  at: number
  session_id: string
  user_uid: string | null
  client_id: string | null
}

type RawRevocation = Omit<RevocationRow, 'id' | 'at'> & { id: string; at: Date }

const columns = sql`id, session_id, user_uid, client_id, created_at as at`

export async function revocationsByIds(db: Queryable, ids: number[]): Promise<RevocationRow[]> {
  return numbered(
    await db.rows<RawRevocation>(
      sql`select ${columns} from ${db.t('revocations')} where id = any(${ids}::bigint[]) order by id`,
      { retry: true },
    ),
  )
}

/** The next revocations after `after`, none older than a day. @param overlap those of the last five seconds as well */
export async function revocationsAfter(
  db: Queryable,
  after: number,
  limit: number,
  overlap: boolean,
): Promise<RevocationRow[]> {
  return numbered(
    await db.rows<RawRevocation>(sql`
      select ${columns} from ${db.t('revocations')}
      where (id > ${after}::bigint or (${overlap}::boolean and created_at > ${justNow}))
        and created_at > now() - interval '24 hours'
      order by id limit ${limit}`),
  )
}

/** Revocations of the last seconds, at most a day's. */
export async function revocationsWithin(db: Queryable, seconds: number): Promise<RevocationRow[]> {
  return numbered(
    await db.rows<RawRevocation>(sql`
      select ${columns} from ${db.t('revocations')}
      where created_at > now() - least(${seconds}::float8, 86400) * interval '1 second' order by id`),
  )
}

function numbered(rows: RawRevocation[]): RevocationRow[] {
  return rows.map(row => ({ ...row, id: Number(row.id), at: row.at.getTime() }))
}

export interface Receipt {
  id: number
  outpostId: string
  instanceId: string
  ms: number
}

/** Stores receipts; those of revocations that are gone are dropped, a second one of the same instance too. */
export async function insertReceipts(db: Queryable, receipts: Receipt[]): Promise<number> {
  return db.count(sql`
    insert into ${db.t('revocation_receipts')} (revocation_id, outpost_id, instance_id, ms)
    select distinct on (r.id, r.outpost_id, r.instance_id) r.id, r.outpost_id, r.instance_id, r.ms
    from unnest(${receipts.map(r => r.id)}::bigint[], ${receipts.map(r => r.outpostId)}::uuid[],
      ${receipts.map(r => r.instanceId)}::text[], ${receipts.map(r => r.ms)}::int[])
      with ordinality as r (id, outpost_id, instance_id, ms, position)
    join ${db.t('revocations')} v on v.id = r.id
    order by r.id, r.outpost_id, r.instance_id, r.position
    on conflict do nothing`)
}

/** Instances that sent something other than HELLO live 15 more seconds too. */
export async function touchInstances(
  db: Queryable,
  links: { outpostId: string; instanceId: string }[],
): Promise<void> {
  await db.count(sql`
    update ${db.t('outpost_instances')} i set last_seen_at = now(), expires_at = now() + interval '15 seconds'
    from unnest(${links.map(l => l.outpostId)}::uuid[], ${links.map(l => l.instanceId)}::text[]) as l (outpost_id, instance_id)
    where i.outpost_id = l.outpost_id and i.instance_id = l.instance_id`)
}
