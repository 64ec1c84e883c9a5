// The tables of pg-boss as a migration of ours.
import { getConstructionPlans } from 'pg-boss'

const placeholder = 'schema_placeholder'

/** The statements of a new installation, with `:pgboss` for the schema; the transaction and its lock are the migration's own. */
export function installationSql(): string {
  const plan = getConstructionPlans(placeholder, { createSchema: false })
  const begin = /^\s*BEGIN;[\s\S]*?pg_advisory_xact_lock\([^;]*;\s*;/
  const end = /COMMIT;\s*$/
  if (!begin.test(plan) || !end.test(plan))
    throw new Error('pg-boss writes its installation differently now: read it and adapt this')
  const body = plan.replace(begin, '').replace(end, '').replaceAll(placeholder, ':pgboss')
  const lines = body.split('\n').map(line => line.trimEnd())
  return `-- Tables of pg-boss, as written by scripts/pgboss-schema.ts. Do not edit: a new version of pg-boss gets a migration of its own.
do $$ begin
  if to_regnamespace(':pgboss') is null then create schema :pgboss; end if;
end $$;
${lines.join('\n').trim()}
`
}
