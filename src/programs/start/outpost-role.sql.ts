// The database role of the standalone outposts beside `npm start`: it may use the one table of their sessions and nothing else.
import type { Client } from 'pg'
import pg from 'pg'

export const outpostRole = 'postern_outpost'

/**
 * Creates or repairs the role.
 * @param client connection of a role that may create roles and owns the schema
 */
export async function ensureOutpostRole(client: Client, schema: string, password: string): Promise<void> {
  const role = pg.escapeIdentifier(outpostRole)
  const space = pg.escapeIdentifier(schema)
  const { rowCount } = await client.query('select 1 from pg_roles where rolname = $1', [outpostRole])
  if (rowCount === 0) await client.query(`create role ${role}`)
  await client.query(`alter role ${role} login connection limit 20 password ${pg.escapeLiteral(password)}`)
  await client.query(`grant usage on schema ${space} to ${role}`)
  await client.query(`grant select, insert, delete on ${space}.proxy_sessions to ${role}`)
}
