// Figures of the server that every process would see alike: sizes of tables, backends, what holds vacuum back.

import { type Db, sql } from './db.ts'
import { bossSchema } from './tasks/boss-schema.ts'

export interface ServerFigures {
  /** the tables that change most, and the largest */
  relations: { relation: string; bytes: number; live: number; dead: number }[]
  connections: { application: string; state: string; count: number }[]
  server: { queue: number; oldest: number }[]
}

const mostRelations = 20

/** Three statements on the catalogues; no table is read. */
export async function readServerFigures(db: Db): Promise<ServerFigures> {
  const relations = await db.rows(sql<ServerFigures['relations'][number]>`
    select relname as relation, pg_total_relation_size(relid)::float8 as bytes, n_live_tup::float8 as live,
           n_dead_tup::float8 as dead
    from pg_stat_user_tables where schemaname in (${db.schema}, ${bossSchema(db.schema)})
    order by n_tup_ins + n_tup_upd + n_tup_del desc, pg_total_relation_size(relid) desc, relname limit ${mostRelations}`)
  const connections = await db.rows(sql<ServerFigures['connections'][number]>`
    select case when application_name like 'postern/%' then application_name else 'other' end as application,
           coalesce(state, 'unknown') as state, count(*)::int as count
    from pg_stat_activity where datname = current_database() and backend_type = 'client backend'
    group by 1, 2 order by 1, 2`)
  const server = await db.rows(sql<ServerFigures['server'][number]>`
    select pg_notification_queue_usage() as queue, coalesce((
      select max(extract(epoch from now() - xact_start)) from pg_stat_activity
      where backend_type = 'client backend' and pid <> pg_backend_pid()), 0)::float8 as oldest`)
  return { relations, connections, server }
}
