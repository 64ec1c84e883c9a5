import type { Db } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { isLive } from './sessions.sql.ts'

export interface SessionFigures {
  /** signed-in sessions of Core that have not ended */
  core: number
  /** rows of outposts' sessions, as the statistics estimate them */
  proxy: number
  created: { core: number; proxy: number }
  revoked: number
}

/** What the server counts by itself anyway, and one count over an index. */
export async function readSessionFigures(db: Db): Promise<SessionFigures> {
  const row = await db.first<
    Record<'core' | 'proxy' | 'core_created' | 'proxy_created' | 'revoked', number>
  >(sql`
    select (select count(*) from ${db.t('sessions')} s where ${isLive} and user_id is not null)::float8 as core,
      coalesce(sum(n_live_tup) filter (where relname = 'proxy_sessions'), 0)::float8 as proxy,
      coalesce(sum(n_tup_ins) filter (where relname = 'sessions'), 0)::float8 as core_created,
      coalesce(sum(n_tup_ins) filter (where relname = 'proxy_sessions'), 0)::float8 as proxy_created,
      coalesce(sum(n_tup_ins) filter (where relname = 'revocations'), 0)::float8 as revoked
    from pg_stat_user_tables where schemaname = ${db.schema} and relname in ('sessions', 'proxy_sessions', 'revocations')`)
  const { core = 0, proxy = 0, core_created = 0, proxy_created = 0, revoked = 0 } = row ?? {}
  return { core, proxy, created: { core: core_created, proxy: proxy_created }, revoked }
}
