import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

export interface Counter {
  key: string
  /** so many failures within a window lock the key */
  limit: number
}

/**
 * Counts one attempt on every key, before it is judged. Past the limit a row is locked, for 5 minutes, then doubling up to an hour.
 * While it is locked, `failures` stands at limit + 1, which is how a refused attempt is told from the one that reached the limit.
 * Rows are touched in the order of their keys, so that attempts sharing one cannot dead-lock.
 */
export async function countAttempt(
  db: Queryable,
  counters: Counter[],
): Promise<{ key: string; failures: number; locked: boolean }[]> {
  const ordered = [...counters].sort((a, b) => (a.key < b.key ? -1 : 1))
  const keys = ordered.map(counter => counter.key)
  const limits = ordered.map(counter => counter.limit)
  return db.rows(sql`
    with asked as (select * from unnest(${keys}::text[], ${limits}::int[]) as asked (key, failure_limit))
    insert into ${db.t('sign_in_failures')} as f (key, failures, window_ends_at, expires_at)
    select key, 1, now() + interval '10 minutes', now() + interval '1 day' from asked
    on conflict (key) do update set (failures, locks, window_ends_at, locked_until, expires_at) = (
      select
        case when over then 1 when held then a.failure_limit + 1 else f.failures + 1 end,
        case when reached then f.locks + 1 else f.locks end,
        case when over then excluded.window_ends_at else f.window_ends_at end,
        case when over then null when held then f.locked_until
          when reached then now() + least(interval '5 minutes' * power(2, least(f.locks, 10)), interval '1 hour') end,
        excluded.expires_at
      from asked a
      cross join lateral (select coalesce(f.locked_until > now(), false) as held,
        coalesce(f.locked_until <= now(), f.window_ends_at <= now()) as over) s
      cross join lateral (select not s.over and not s.held and f.failures + 1 >= a.failure_limit as reached) r
      where a.key = f.key)
    returning key, failures, coalesce(locked_until > now(), false) as locked`)
}

/** Takes one attempt back from every key: it did not fail. A key of `forgiven` starts anew. */
export async function uncountAttempt(
  db: Queryable,
  counters: Counter[],
  forgiven: string | null,
): Promise<void> {
  const keys = counters.map(counter => counter.key)
  const limits = counters.map(counter => counter.limit)
  await db.count(sql`
    with asked as (
      select f.key, a.failure_limit, case when f.key = ${forgiven}::text then 0
        else greatest(least(f.failures, a.failure_limit) - 1, 0) end as failures
      from ${db.t('sign_in_failures')} f
      join unnest(${keys}::text[], ${limits}::int[]) as a (key, failure_limit) on a.key = f.key
      order by f.key for update of f)
    update ${db.t('sign_in_failures')} f set
      failures = asked.failures,
      locks = case when f.key = ${forgiven}::text then 0 when f.locked_until is not null then greatest(f.locks - 1, 0)
        else f.locks end,
      locked_until = null
    from asked where asked.key = f.key`)
}
