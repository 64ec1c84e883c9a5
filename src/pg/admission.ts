// How many connections this process may open, asked of the server at start and watched with every beat: processes that come share
// with those that are there, and when some leave the others may have more again.
import type { Log } from '../log.ts'
import type { Beat } from './beat.ts'
import { type Budget, budgetOf, type PoolRole, type ServerSlots } from './budget.ts'
import { openConnection } from './client.ts'
import { sqlstate, sqlstates } from './errors.ts'
import { quoteName } from './migrations.ts'
import type { WatchedPool } from './pool.ts'
import type { PgTarget } from './target.ts'

export interface Admission {
  budget(): Budget
  /** From now on the pool's size follows the number of living processes. @returns ends that */
  follow(beat: Beat, pool: WatchedPool): () => void
}

/**
 * Asks the server for its slots and for living processes; one connection, one statement.
 * @param options.target the database itself: a pooler would answer for itself
 * @throws PgError when it cannot be asked
 */
export async function admit(options: {
  target: PgTarget
  schema: string
  role: PoolRole
  log: Log
}): Promise<Admission> {
  const { role, log } = options
  const { slots, others } = await survey(options.target, options.schema)
  let budget = budgetOf(slots, role, others + 1)
  tell(log, budget)
  return {
    budget: () => budget,
    follow(beat, pool) {
      return beat.join({
        others(count) {
          const next = budgetOf(slots, role, count + 1)
          const changed = next.pool !== budget.pool
          budget = next
          if (!changed) return
          tell(log, budget)
          pool.resize(budget.pool)
        },
      })
    },
  }
}

function tell(log: Log, budget: Budget): void {
  const fields = { pool: budget.pool, wanted: budget.wanted, budget: budget.text }
  if (!budget.shrunk) log.debug('database connections', fields)
  else log.warning('fewer database connections than wanted; raise max_connections of PostgreSQL', fields)
}

/**
 * Slots of the server and processes seen in the last half minute.
 * @throws PgError when the database cannot be reached
 */
export async function survey(
  target: PgTarget,
  schema: string,
): Promise<{ slots: ServerSlots; others: number }> {
  const { client } = await openConnection(target, { applicationName: 'postern-start' })
  const slots = (nodes: string) => `
    select current_setting('max_connections')::int as max, current_setting('superuser_reserved_connections')::int
      + coalesce(current_setting('reserved_connections', true), '0')::int as reserved, ${nodes} as others`
  try {
    const nodes = `(select count(*)::int from ${quoteName(schema)}.nodes where seen_at > now() - interval '30 seconds')`
    const { rows } = await client.query<Slots>(slots(nodes)).catch(async error => {
      const state = sqlstate(error)
      if (state !== sqlstates.undefinedTable && state !== sqlstates.insufficientPrivilege) throw error
      return await client.query<Slots>(slots('0'))
    })
    const row = rows[0]
    if (row === undefined) throw new Error('no answer about max_connections')
    return { slots: { maxConnections: row.max, reserved: row.reserved }, others: row.others }
  } finally {
    await client.end().catch(() => {})
  }
}

interface Slots {
  max: number
  reserved: number
  others: number
}
