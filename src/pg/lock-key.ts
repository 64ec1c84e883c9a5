// Keys of advisory locks: 64 bits of a hash over schema, namespace and key, so that two installations in one database, and two
// uses of one id, do not meet. A collision of two live keys only means waiting for nothing.
import { createHash } from 'node:crypto'

/** Every namespace of advisory locks, each with its use. */
export const lockNamespaces = {
  migrate: 'held on a session by the process that migrates',
  proxy_sessions_table: 'an outpost creating its table',
  proxy_sessions_sweep: 'deleting expired proxy sessions',
  sweep: 'deleting expired rows of Core, by table',
  setup: 'initial set-up, bootstrap and default objects',
  signing_key: 'creating a key or certificate once',
  session: 'changing one session of Core',
  user: 'changing one user across several statements',
  flow_plan: 'advancing one flow plan',
  refresh_token: 'rotating one family of refresh tokens',
  outpost: 'changing one outpost, its token and its account',
  task: 'schedules and history of background tasks',
  media_file: 'saving or removing one content',
} as const
export type LockNamespace = keyof typeof lockNamespaces

/**
 * Number of an advisory lock as PostgreSQL takes it: a signed 64-bit integer in decimal text.
 * @param schema our schema, unquoted
 */
export function lockKey(schema: string, namespace: LockNamespace, key = ''): string {
  const parts = namespace === 'migrate' ? [schema, namespace] : [schema, namespace, key]
  return createHash('sha256').update(parts.join('\0')).digest().readBigInt64BE(0).toString()
}
