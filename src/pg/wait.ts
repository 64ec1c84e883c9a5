// Start of a program: the database may still be coming up, or be wrong for good.
import { setTimeout as sleep } from 'node:timers/promises'
import { errorText, type Log } from '../log.ts'
import { openConnection } from './client.ts'
import { PgError } from './errors.ts'
import type { PgTarget } from './target.ts'

export interface ServerFacts {
  /** e.g. 180004 */
  versionNumber: number
  /** Connections ordinary roles can have in all. */
  usableConnections: number
}

/**
 * Resolves once a connection can be made.
 * @param options.timeoutMs how long a database that cannot be reached is tried again. Default 60,000
 * @throws PgError `database_refused` at once (credentials, TLS, names), `database_unavailable` when the time is over
 */
export async function waitForDatabase(
  target: () => PgTarget,
  options: { log: Log; timeoutMs?: number; signal?: AbortSignal },
): Promise<ServerFacts> {
  const until = Date.now() + (options.timeoutMs ?? 60_000)
  for (let pause = 100; ; pause = Math.min(2000, pause * 2)) {
    try {
      return await readFacts(target())
    } catch (error) {
      const isAway = error instanceof PgError && error.code === 'database_unavailable'
      if (!isAway || Date.now() + pause > until || options.signal?.aborted === true) throw error
      options.log.warning('PostgreSQL is not there yet, trying again', { error: errorText(error) })
    }
    await sleep(pause, undefined, options.signal === undefined ? {} : { signal: options.signal })
  }
}

async function readFacts(target: PgTarget): Promise<ServerFacts> {
  const { client } = await openConnection(target, { applicationName: 'postern-start' })
  try {
    const { rows } = await client.query<ServerFacts>(
      `select current_setting('server_version_num')::int as "versionNumber",
              current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
                - coalesce(current_setting('reserved_connections', true)::int, 0) as "usableConnections"`,
    )
    return rows[0] ?? { versionNumber: 0, usableConnections: 0 }
  } finally {
    await client.end().catch(() => {})
  }
}
