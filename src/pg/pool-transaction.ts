// One transaction on one connection of a pool.
import { PgError } from './errors.ts'
import type { PgStatement } from './pool.ts'
import type { StatementResult } from './statement.ts'

/** What a transaction needs of its connection. */
export interface TransactionSeat {
  /** BEGIN and what goes with it, as one text. */
  begin: string
  run<Row>(text: string, values?: unknown[], deadlineMs?: number): Promise<StatementResult<Row>>
  needsRollback(): boolean
  /** The connection cannot be used again. */
  giveUp(): void
}

const rollbackMs = 1000

/**
 * BEGIN, `work`, COMMIT; a throw rolls back and is rethrown as it was. Statements started at once run one after the other.
 * @throws PgError `transaction_aborted` when COMMIT turned out to be a rollback, and for a statement that comes after the end
 */
export async function runTransaction<T>(
  seat: TransactionSeat,
  work: (statement: PgStatement) => Promise<T>,
): Promise<T> {
  let over = false
  let last: Promise<unknown> = Promise.resolve()
  const statement: PgStatement = {
    async query<Row>(text: string, values?: unknown[], settings: { deadlineMs?: number } = {}) {
      if (over) {
        throw new PgError('transaction_aborted', 'a statement was sent after the end of its transaction')
      }
      const next = last.then(() => seat.run<Row>(text, values, settings.deadlineMs))
      last = next.catch(() => {})
      return await next
    },
  }
  try {
    await seat.run(seat.begin)
    const result = await work(statement)
    over = true
    await last
    await commit(seat)
    return result
  } catch (error) {
    over = true
    await last
    if (seat.needsRollback()) await seat.run('rollback', undefined, rollbackMs).catch(seat.giveUp)
    throw error
  }
}

async function commit(seat: TransactionSeat): Promise<void> {
  const { command } = await seat.run('commit')
  // COMMIT of a failed transaction is answered by ROLLBACK, without an error.
  if (command === 'COMMIT') return
  const text = 'the transaction was rolled back, because one of its statements had failed'
  throw new PgError('transaction_aborted', text)
}
