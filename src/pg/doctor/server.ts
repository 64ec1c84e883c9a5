// The server itself: version, settings, connections, standbys, what holds it up.
import type { Client } from 'pg'
import { budgetOf } from '../budget.ts'
import { quoteName } from '../migrations.ts'
import { error, type Finding, ok, warning } from './finding.ts'

const oldest = 15
const newest = 18

export async function checkServer(client: Client): Promise<Finding[]> {
  const { rows } = await client.query<
    Record<'version' | 'number' | 'encoding' | 'fsync' | 'pages' | 'standby', string>
  >(`
    select current_setting('server_version') as version, current_setting('server_version_num') as number,
           current_setting('server_encoding') as encoding, current_setting('fsync') as fsync,
           current_setting('full_page_writes') as pages, pg_is_in_recovery()::text as standby`)
  const server = rows[0]
  if (server === undefined) return []
  const major = Math.floor(Number(server.number) / 10_000)
  const findings: Finding[] = []
  const text = `PostgreSQL ${server.version}`
  if (major < oldest) findings.push(error('version', `${text} is too old`, `upgrade to ${oldest} or newer`))
  else if (major > newest)
    findings.push(
      warning('version', `${text} is newer than what was tested`, `${oldest} to ${newest} are tested`),
    )
  else findings.push(ok('version', text))
  findings.push(
    server.encoding === 'UTF8'
      ? ok('encoding', 'UTF8')
      : error('encoding', server.encoding, "create the database with: encoding 'UTF8' template template0"),
  )
  if (server.standby === 'true')
    findings.push(
      error(
        'role',
        'this server is a standby and takes no writes',
        'name the primary in AUTHENTIK_POSTGRESQL__HOST',
      ),
    )
  if (server.fsync !== 'on' || server.pages !== 'on')
    findings.push(
      error(
        'durability',
        'fsync or full_page_writes is off; a crash can destroy the database',
        'turn both on',
      ),
    )
  return findings
}

/** @param schema where `nodes` is; a database without it has no processes */
export async function checkConnections(client: Client, schema: string): Promise<Finding[]> {
  const { rows: exists } = await client.query<{ there: boolean }>(
    'select to_regclass($1) is not null as there',
    [`${quoteName(schema)}.nodes`],
  )
  const nodes =
    exists[0]?.there === true
      ? (
          await client.query<{ kind: string; count: number; versions: string[] }>(
            `select kind, count(*)::int as count, array_agg(distinct version) as versions from ${quoteName(schema)}.nodes
             where seen_at > now() - interval '30 seconds' group by kind order by kind`,
          )
        ).rows
      : []
  const { rows } = await client.query<{ max: number; reserved: number; used: number; ours: number }>(`
    select current_setting('max_connections')::int as max,
           current_setting('superuser_reserved_connections')::int
             + coalesce(current_setting('reserved_connections', true), '0')::int as reserved,
           (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as used,
           (select count(*)::int from pg_stat_activity where application_name like 'postern/%') as ours`)
  const slots = rows[0]
  if (slots === undefined) return []
  const processes = nodes.reduce((sum, node) => sum + node.count, 0)
  const budget = budgetOf(
    { maxConnections: slots.max, reserved: slots.reserved },
    'server',
    Math.max(1, processes),
  )
  const list = nodes.map(node => `${node.count} ${node.kind}`).join(', ') || 'none'
  const now = `processes alive: ${list}; ${slots.used} of ${budget.usable} connections in use, ${slots.ours} ours`
  const findings: Finding[] = [
    budget.shrunk
      ? warning('connections', `${budget.text}; ${now}`, 'raise max_connections, or run fewer processes')
      : ok('connections', `${budget.text}; ${now}`),
  ]
  if (slots.used > budget.usable * 0.9)
    findings.push(
      warning(
        'connections',
        `only ${budget.usable - slots.used} connections are left`,
        'raise max_connections or find who holds them',
      ),
    )
  const versions = [...new Set(nodes.flatMap(node => node.versions))]
  if (versions.length > 1)
    findings.push(
      warning(
        'versions',
        `processes of different versions: ${versions.join(', ')}`,
        'finish the upgrade of all of them',
      ),
    )
  return findings
}

const longestLagSeconds = 10
const mostRetainedBytes = 1024 ** 3

export async function checkReplication(client: Client): Promise<Finding[]> {
  const { rows: standbys } = await client.query<{ name: string; state: string | null; lag: number | null }>(`
    select application_name as name, state, extract(epoch from replay_lag)::float8 as lag from pg_stat_replication`)
  const { rows: slots } = await client.query<{ name: string; bytes: string }>(`
    select slot_name as name, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint as bytes
    from pg_replication_slots where not active and restart_lsn is not null`)
  const findings = standbys.map(({ name, state, lag }) => {
    if (lag !== null && lag > longestLagSeconds)
      return warning(
        'replication',
        `standby ${name} is ${lag.toFixed(1)} s behind`,
        'a failover would lose that much; look at its disk and network',
      )
    return ok(
      'replication',
      `standby ${name}: ${state ?? 'state hidden from this role'}, ${(lag ?? 0).toFixed(2)} s behind`,
    )
  })
  for (const { name, bytes } of slots)
    if (Number(bytes) > mostRetainedBytes)
      findings.push(
        error(
          'replication',
          `slot ${name} is unused and keeps ${Math.round(Number(bytes) / 1e6)} MB of WAL`,
          `drop it: select pg_drop_replication_slot('${name.replaceAll("'", "''")}')`,
        ),
      )
  return findings.length > 0 ? findings : [ok('replication', 'no standbys')]
}

/**
 * Old snapshots keep vacuum from removing anything that died since, in every table.
 * @param seconds how old a transaction must be to be named
 */
export async function checkTransactions(client: Client, seconds = 300): Promise<Finding[]> {
  const { rows } = await client.query<{ who: string; minutes: number }>(
    `
    select concat('pid ', pid, ' (', usename, ', ', application_name, ', ', state, ')') as who,
           extract(epoch from now() - xact_start)::float8 / 60 as minutes
    from pg_stat_activity where xact_start < now() - $1::float8 * interval '1 second' and backend_type = 'client backend'
    union all
    select concat('prepared transaction ', gid), extract(epoch from now() - prepared)::float8 / 60
    from pg_prepared_xacts where prepared < now() - $1::float8 * interval '1 second'
    union all
    select concat('replication slot ', slot_name, ' with xmin ', coalesce(xmin, catalog_xmin)), null
    from pg_replication_slots where greatest(age(xmin), age(catalog_xmin)) > 1000000`,
    [seconds],
  )
  const { rows: queue } = await client.query<{ usage: number }>(
    'select pg_notification_queue_usage() as usage',
  )
  const findings: Finding[] = rows.map(({ who, minutes }) =>
    warning(
      'transactions',
      `${who} ${minutes === null ? 'holds an old snapshot' : `is open for ${Math.round(minutes)} minutes`}; dead rows pile up meanwhile`,
      'end it: commit, or pg_terminate_backend',
    ),
  )
  const usage = queue[0]?.usage ?? 0
  if (usage > 0.1)
    findings.push(
      error(
        'notifications',
        `the queue of notifications is ${Math.round(usage * 100)} % full; when it is full, commits fail`,
        'end the listener that sits in a transaction',
      ),
    )
  return findings.length > 0
    ? findings
    : [
        ok(
          'transactions',
          seconds === 300 ? 'none older than five minutes' : `none older than ${seconds} seconds`,
        ),
      ]
}
