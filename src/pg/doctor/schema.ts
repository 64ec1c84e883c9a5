// Our own schema: migrations, rights, bloat, indexes, partitions.
import type { Client } from 'pg'
import { errorText } from '../../log.ts'
import { migrationTitle, pending, readApplied } from '../migrate.ts'
import { type Migration, quoteName } from '../migrations.ts'
import { bossSchema } from '../tasks/boss-schema.ts'
import { error, type Finding, ok, warning } from './finding.ts'

export async function checkMigrations(
  client: Client,
  options: { schema: string; migrations: Migration[]; appVersion: string },
): Promise<Finding[]> {
  try {
    const missing = pending(options, await readApplied(client, options.schema))
    if (missing.length === 0) return [ok('migrations', `all ${options.migrations.length} are applied`)]
    return [
      warning(
        'migrations',
        `missing: ${missing.map(migrationTitle).join(', ')}`,
        'run: postern migrate (postern migrate --plan shows it first)',
      ),
    ]
  } catch (cause) {
    return [error('migrations', errorText(cause), 'see the text')]
  }
}

interface Missing {
  name: string
  rights: string[]
}

/** Asks the server what this role may do with what is there. */
export async function checkRights(client: Client, schema: string): Promise<Finding[]> {
  const schemas = [schema, bossSchema(schema)]
  const { rows } = await client.query<Missing>(
    `
    select format('%I.%I', n.nspname, c.relname) as name, array(
      select r from unnest(array['select', 'insert', 'update', 'delete']) r where not has_table_privilege(c.oid, r)) as rights
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = any($1) and c.relkind in ('r', 'p') and has_schema_privilege(n.oid, 'usage')
    union all
    select format('%I.%I', n.nspname, c.relname), array['usage']
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = any($1) and case when c.relkind = 'S' and has_schema_privilege(n.oid, 'usage') then not has_sequence_privilege(c.oid, 'usage') end
    union all
    select format('schema %I', n.nspname), array['usage'] from pg_namespace n
    where n.nspname = any($1) and not has_schema_privilege(n.oid, 'usage')`,
    [schemas],
  )
  const missing = rows.filter(row => row.rights.length > 0)
  const findings: Finding[] = missing.map(({ name, rights }) =>
    error(
      'rights',
      `the role lacks ${rights.join(', ')} on ${name}`,
      `grant ${rights.join(', ')} on ${name} to the role in AUTHENTIK_POSTGRESQL__USER`,
    ),
  )
  const { rows: create } = await client.query<{ may: boolean }>(
    'select coalesce((select has_schema_privilege(oid, $2) from pg_namespace where nspname = $1), has_database_privilege(current_database(), $2)) as may',
    [schema, 'create'],
  )
  if (create[0]?.may !== true)
    findings.push(
      warning(
        'rights',
        `the role may not create tables in "${schema}"`,
        'let another role run postern migrate, and set POSTERN_MIGRATE=off',
      ),
    )
  return findings.length > 0 ? findings : [ok('rights', `all rights on the tables of "${schema}"`)]
}

/** Dead rows are of no harm while vacuum keeps up: many of them, and more than a third of the living, is too much. */
export async function checkBloat(client: Client, schema: string): Promise<Finding[]> {
  const { rows } = await client.query<{ name: string; live: string; dead: string; vacuumed: Date | null }>(
    `
    select format('%I.%I', schemaname, relname) as name, n_live_tup as live, n_dead_tup as dead,
           greatest(last_vacuum, last_autovacuum) as vacuumed
    from pg_stat_user_tables where schemaname = any($1) and n_dead_tup > 20000 and n_dead_tup > n_live_tup / 3
    order by n_dead_tup desc`,
    [[schema, bossSchema(schema)]],
  )
  const { rows: indexes } = await client.query<{ name: string }>(
    `select i.indexrelid::regclass::text as name from pg_index i join pg_class c on c.oid = i.indrelid
     join pg_namespace n on n.oid = c.relnamespace where not i.indisvalid and n.nspname = any($1)`,
    [[schema, bossSchema(schema)]],
  )
  const { rows: auto } = await client.query<{ on: boolean }>(
    `select current_setting('autovacuum') = 'on' and current_setting('track_counts') = 'on' as on`,
  )
  const findings: Finding[] = rows.map(({ name, live, dead, vacuumed }) =>
    warning(
      'bloat',
      `${name} has ${dead} dead rows beside ${live} living ones, last vacuumed ${vacuumed?.toISOString() ?? 'never'}`,
      `find what holds vacuum back (see transactions), then: vacuum ${name}`,
    ),
  )
  for (const { name } of indexes)
    findings.push(
      warning(
        'indexes',
        `${name} is not valid: building it was interrupted`,
        `reindex index concurrently ${name}`,
      ),
    )
  if (auto[0]?.on !== true)
    findings.push(error('bloat', 'autovacuum is off', 'set autovacuum = on and track_counts = on'))
  return findings.length > 0 ? findings : [ok('bloat', 'vacuum keeps up')]
}

/** Tables with a partition per day need tomorrow's in time. */
export async function checkPartitions(client: Client, schema: string): Promise<Finding[]> {
  const { rows } = await client.query<{ name: string; until: Date | null }>(
    `
    select p.relname as name, max(substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \\(''([^'']+)''\\)')::timestamptz) as until
    from pg_class p join pg_namespace n on n.oid = p.relnamespace
    left join pg_inherits i on i.inhparent = p.oid left join pg_class c on c.oid = i.inhrelid and c.relkind = 'r'
    where n.nspname = $1 and p.relkind = 'p' group by p.relname order by p.relname`,
    [schema],
  )
  const late = rows.filter(({ until }) => until === null || until.getTime() < Date.now() + 12 * 3600_000)
  if (late.length === 0)
    return rows.length === 0 ? [] : [ok('partitions', `${rows.length} tables are ready for tomorrow`)]
  return late.map(({ name, until }) =>
    warning(
      'partitions',
      `${quoteName(name)} has no partition after ${until?.toISOString() ?? 'the beginning'}`,
      'start a worker: it makes them',
    ),
  )
}
