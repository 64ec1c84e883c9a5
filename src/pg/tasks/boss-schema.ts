// Where pg-boss keeps its tables.
import { createHash } from 'node:crypto'

/**
 * Schema of pg-boss beside ours: `pgboss`, or `<schema>_pgboss` when ours is not `public`. A name that would need quotes, or would be
 * cut by PostgreSQL, is replaced by its hash.
 * @param schema our schema, unquoted
 * @returns a name that needs no quotes
 */
export function bossSchema(schema: string): string {
  if (schema === 'public') return 'pgboss'
  if (/^[a-z_][a-z0-9_]{0,39}$/.test(schema)) return `${schema}_pgboss`
  return `pgboss_${createHash('sha256').update(schema).digest('hex').slice(0, 24)}`
}
