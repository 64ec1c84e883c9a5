import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { type ConnectionRow, connectionTable } from '../outposts/connections.sql.ts'

export interface OutpostAfterChange {
  revision: number
  /** processes that were there within the last 15 seconds */
  instances: number
  /** where it is deployed; null = by hand */
  connection: ConnectionRow | null
}

/** Undefined when the outpost is gone. */
export async function outpostAfterChange(db: Queryable, id: string): Promise<OutpostAfterChange | undefined> {
  const outpost = await db.first<{ revision: string; instances: number; connection: string | null }>(sql`
    select o.revision, o.service_connection_id as connection, (
      select count(*) from ${db.t('outpost_instances')} i where i.outpost_id = o.id and i.expires_at > now()
    )::int as instances
    from ${db.t('outposts')} o where o.id = ${id}`)
  if (outpost === undefined) return undefined
  const connection = outpost.connection === null ? undefined : await findConnection(db, outpost.connection)
  return {
    revision: Number(outpost.revision),
    instances: outpost.instances,
    connection: connection ?? null,
  }
}

async function findConnection(db: Queryable, id: string): Promise<ConnectionRow | undefined> {
  const { columns, from } = connectionTable(db)
  return await db.first<ConnectionRow>(sql`select ${columns} from ${from} where r.id = ${id}`)
}
