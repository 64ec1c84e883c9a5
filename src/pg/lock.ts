// Locks of a transaction: taken inside it, released by its end, safe behind a transaction pooler. For critical sections of up to
// about a second; for anything longer see leases.ts.
import { sql, type Tx } from './db.ts'
import { type LockNamespace, lockKey } from './lock-key.ts'

/**
 * Waits for a lock and holds it to the end of the transaction. Read again what you knew before: somebody may have been there.
 * @throws the server's error when it is not granted within the transaction's `lock_timeout`; see `isLockTimeout`
 */
export async function lockInTx(tx: Tx, namespace: LockNamespace, key?: string): Promise<void> {
  await tx.rows(sql`select pg_advisory_xact_lock(${lockKey(tx.schema, namespace, key)}::bigint)`)
}

/** Takes a lock to the end of the transaction if nobody has it. @returns whether it was taken */
export async function tryLockInTx(tx: Tx, namespace: LockNamespace, key?: string): Promise<boolean> {
  const row = await tx.first(
    sql<{
      locked: boolean
    }>`select pg_try_advisory_xact_lock(${lockKey(tx.schema, namespace, key)}::bigint) as locked`,
  )
  return row?.locked === true
}
