// Who migrates: one process at a time. On the database itself that is a lock of the session; behind a transaction pooler, which hands
// a session's backend to somebody else, it is a lock of a transaction that stays open on a second connection.
import type { Client } from 'pg'
import { openConnection } from './client.ts'
import type { PgTarget } from './target.ts'

export interface MigrationLock {
  /** Never waits, so that no snapshot is held between two tries. */
  tryTake(): Promise<boolean>
  /** @throws when the lock may have been lost */
  check(): Promise<void>
  release(): Promise<void>
}

/** @param key of `lockKey` */
export function sessionLock(client: Client, key: string): MigrationLock {
  return {
    async tryTake() {
      const { rows } = await client.query<{ locked: boolean }>(
        'select pg_try_advisory_lock($1::bigint) as locked',
        [key],
      )
      if (rows[0]?.locked !== true) return false
      // Should this process die in a long statement, the server notices and ends it, so that another can go on.
      await client.query("set client_connection_check_interval = '1s'").catch(() => {})
      return true
    },
    check: async () => {},
    async release() {
      await client.query('select pg_advisory_unlock($1::bigint)', [key]).catch(() => {})
    },
  }
}

/** A transaction that has done nothing but lock holds no snapshot: `create index concurrently` does not wait for it. */
export async function transactionLock(target: PgTarget, key: string): Promise<MigrationLock> {
  const { client } = await openConnection(target, { applicationName: 'postern-migrate' })
  return {
    async tryTake() {
      await client.query('begin; set local idle_in_transaction_session_timeout = 0')
      const { rows } = await client.query<{ locked: boolean }>(
        'select pg_try_advisory_xact_lock($1::bigint) as locked',
        [key],
      )
      if (rows[0]?.locked === true) return true
      await client.query('rollback')
      return false
    },
    async check() {
      await client.query('select 1')
    },
    async release() {
      await client.query('rollback').catch(() => {})
      await client.end().catch(() => {})
    },
  }
}
