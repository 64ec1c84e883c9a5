// Where the server of this run is, and the pooler in front of it where there is one (POSTERN_TEST_POOLER). Without node:test, so that
// processes of tests can ask as well.
import type { PgHost, PgTarget } from '../../src/pg/target.ts'

/** Value of POSTERN_TEST_POSTGRES. */
export interface ServerOfRun {
  /** superuser, database `postgres`, the server itself */
  admin: PgTarget
  /** PgBouncer in transaction mode, with every database and role of the server */
  pooler?: PgHost
}

/** Undefined before the server of the run is known. */
export function serverOfRun(): ServerOfRun | undefined {
  const given = process.env.POSTERN_TEST_POSTGRES
  return given === undefined || given === '' ? undefined : JSON.parse(given)
}

/** The same database without the pooler: for direct connections, and for tests whose subject is a connection. */
export function directOf(target: PgTarget): PgTarget {
  const run = serverOfRun()
  const [at] = target.hosts
  const pooled = run?.pooler !== undefined && at?.port === run.pooler.port && at.host === run.pooler.host
  return run !== undefined && pooled ? { ...target, hosts: run.admin.hosts } : target
}
