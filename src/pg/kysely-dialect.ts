// Kysely over a statement of ours (the pool or an open transaction). Transactions, savepoints and cursors are not offered here:
// `db.transaction` is the one way, so that time-outs and what follows a commit are never forgotten.
import {
  type DatabaseConnection,
  type Dialect,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
} from 'kysely'
import type { PgStatement } from './pool.ts'

/** A dialect whose queries run on `statement`; destroying it closes nothing. */
export function statementDialect(statement: PgStatement): Dialect {
  const connection: DatabaseConnection = {
    async executeQuery<Row>(query: { sql: string; parameters: readonly unknown[] }) {
      const { rows, rowCount } = await statement.query<Row>(query.sql, [...query.parameters])
      return { rows, numAffectedRows: BigInt(rowCount) }
    },
    streamQuery() {
      throw new Error('no cursors: read in batches by key')
    },
  }
  const refuse = async () => {
    throw new Error('transactions are made by db.transaction, not by Kysely')
  }
  return {
    createAdapter: () => new PostgresAdapter(),
    createQueryCompiler: () => new PostgresQueryCompiler(),
    createIntrospector: kysely => new PostgresIntrospector(kysely),
    createDriver: () => ({
      init: async () => {},
      acquireConnection: async () => connection,
      beginTransaction: refuse,
      commitTransaction: refuse,
      rollbackTransaction: refuse,
      releaseConnection: async () => {},
      destroy: async () => {},
    }),
  }
}
