// One statement on one connection, with a deadline kept on this side: it also ends a wait on a dead network, costs no round trip,
// and works behind a transaction pooler.
import type { PgConnection } from './client.ts'
import { PgError } from './errors.ts'

export interface StatementResult<Row> {
  rows: Row[]
  rowCount: number
  /** Tag of the command, e.g. `SELECT`. */
  command: string
}

/**
 * Runs a statement.
 * @param deadlineMs 0 = none
 * @param graceMs longest wait for the cancel request at the deadline
 * @throws PgError `statement_timeout` at the deadline, after asking the server to cancel; the connection must then be dropped,
 *   since a late cancel could hit its next statement
 */
export function runStatement<Row>(
  connection: PgConnection,
  text: string,
  values: unknown[] | undefined,
  deadlineMs: number,
  graceMs: number,
): Promise<StatementResult<Row>> {
  return new Promise((resolve, reject) => {
    let late = false
    const timer =
      deadlineMs === 0
        ? undefined
        : setTimeout(async () => {
            late = true
            await connection.cancel(graceMs)
            reject(new PgError('statement_timeout', `a statement was given up after ${deadlineMs} ms`))
          }, deadlineMs)
    const settle = (act: () => void) => {
      if (late) return
      clearTimeout(timer)
      act()
    }
    connection.client.query({ text, ...(values === undefined ? {} : { values }) }).then(
      result => settle(() => resolve(shape<Row>(result))),
      error => settle(() => reject(error)),
    )
  })
}

/** A text of several statements gives a list of results; the last one counts. */
function shape<Row>(result: unknown): StatementResult<Row> {
  const last = (Array.isArray(result) ? result.at(-1) : result) as {
    rows: Row[]
    rowCount: number | null
    command: string
  }
  return { rows: last.rows, rowCount: last.rowCount ?? 0, command: last.command }
}
