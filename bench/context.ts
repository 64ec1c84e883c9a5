// What every benchmark is given.
import type { PgTarget } from '../src/pg/target.ts'
import type { Document } from './document.ts'
import type { Emit } from './figure.ts'

export interface BenchContext {
  emit: Emit
  /** Tables and pictures for docs/benchmarks.md; figures go there by themselves. */
  document: Pick<Document, 'table' | 'picture'>
  /**
   * A database of one server that all benchmarks of a run share; it has pg_stat_statements.
   * @param options.migrated false = empty, the default
   */
  postgres(options?: { migrated?: boolean }): Promise<BenchDatabase>
}

export interface BenchDatabase {
  target: PgTarget
  /** The same database as superuser. */
  adminTarget: PgTarget
}

export interface Bench {
  name: string
  /** only when it is called by its name: it takes long */
  byNameOnly?: boolean
  run(context: BenchContext): Promise<void>
}
