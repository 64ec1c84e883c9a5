// What every benchmark is given.
import type { PgTarget } from '../src/pg/target.ts'
import type { Emit } from './figure.ts'

export interface BenchContext {
  emit: Emit
  /** An empty database of one server that all benchmarks of a run share; it has pg_stat_statements. */
  postgres(): Promise<{ target: PgTarget; adminTarget: PgTarget }>
}

export interface Bench {
  name: string
  run(context: BenchContext): Promise<void>
}
