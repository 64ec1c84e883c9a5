// How many connections a process may use: modest, and less on a server that has few.
import { openConnection } from '../pg/client.ts'
import type { PgTarget } from '../pg/target.ts'

const sizes = {
  server: { usual: 10, small: 6 },
  worker: { usual: 6, small: 4 },
  start: { usual: 10, small: 10 },
}
/** Below this many slots for ordinary roles the small sizes hold. */
const fewSlots = 30

/** @param target the database itself: a pooler would answer for itself */
export async function poolSize(target: PgTarget, role: keyof typeof sizes): Promise<number> {
  const connection = await openConnection(target, { applicationName: 'postern-start' })
  try {
    const { rows } = await connection.client.query<{ slots: number }>(`
      select sum(case name when 'max_connections' then setting::int else -setting::int end)::int as slots
      from pg_settings where name in ('max_connections', 'superuser_reserved_connections', 'reserved_connections')`)
    return (rows[0]?.slots ?? fewSlots) < fewSlots ? sizes[role].small : sizes[role].usual
  } finally {
    connection.drop()
  }
}
