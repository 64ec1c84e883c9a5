import type { RawBuilder } from 'kysely'
import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

export type PolicyMode = 'any' | 'all'

/**
 * Lateral join `judged` with `bound` (enabled bindings of a target) and `passed` (those that hold for the user). An expired binding
 * is one that fails, never one that is not there: the last temporary grant must not open the target to everybody when it ends.
 * @param userId the user's id, also as SQL that names neither `b`, `c` nor `m`; null = nobody is signed in: no binding holds
 * @param targetId the target's id as SQL
 */
export function judgedBindings(
  db: Queryable,
  userId: number | null | RawBuilder<unknown>,
  targetId: RawBuilder<unknown>,
) {
  return sql`
    cross join lateral (
      select count(*)::int as bound, (count(*) filter (where
        ${userId}::int is not null
        and (b.expires_at is null or b.expires_at > now())
        and b.negate <> (
          coalesce(b.user_id = ${userId}, false)
          or coalesce(b.group_id in (
            select c.ancestor_id from ${db.t('memberships')} m
            join ${db.t('group_closure')} c on c.group_id = m.group_id where m.user_id = ${userId}
            union all select m.group_id from ${db.t('memberships')} m where m.user_id = ${userId}), false))
      ))::int as passed
      from ${db.t('policy_bindings')} b where b.target_id = ${targetId} and b.enabled
    ) judged`
}

/** Condition "the target is open to the user", where `judgedBindings` was joined. No bindings at all = open. */
export function isOpen(mode: RawBuilder<unknown>) {
  return sql<boolean>`(judged.bound = 0 or case when ${mode} = 'all' then judged.passed = judged.bound else judged.passed > 0 end)`
}

export async function judgeTarget(
  db: Queryable,
  userId: number | null,
  targetId: string,
  mode: PolicyMode,
): Promise<boolean> {
  const row = await db.first<{ open: boolean }>(sql`
    select ${isOpen(sql`${mode}::text`)} as open from (select) as target ${judgedBindings(db, userId, sql`${targetId}::uuid`)}`)
  return row?.open === true
}
