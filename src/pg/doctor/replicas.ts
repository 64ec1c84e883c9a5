// The read replicas that are set: each must be a standby of this very database that keeps up.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from 'pg'
import { errorText } from '../../log.ts'
import { openConnection } from '../client.ts'
import { describeTarget, type PgTarget } from '../target.ts'
import { error, type Finding, ok, warning } from './finding.ts'

const longestWaitMs = 1000

/** @param primary a connection to the database itself */
export async function checkReplicas(primary: Client, replicas: PgTarget[]): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const target of replicas) findings.push(await checkReplica(primary, target))
  return findings
}

async function checkReplica(primary: Client, target: PgTarget): Promise<Finding> {
  const place = describeTarget(target)
  const opened = await openConnection(target, { applicationName: 'postern-doctor' }).catch(
    (cause: unknown) => new Error(errorText(cause)),
  )
  if (opened instanceof Error)
    return error(
      'replicas',
      opened.message,
      'correct or remove AUTHENTIK_POSTGRESQL__READ_REPLICAS__<n>; reads go to the primary meanwhile',
    )
  const { client } = opened
  try {
    const identity = 'select oid::text as id from pg_database where datname = current_database()'
    const [here, there] = await Promise.all([primary, client].map(one => one.query<{ id: string }>(identity)))
    const standby = await client.query<{ standby: boolean }>('select pg_is_in_recovery() as standby')
    if (standby.rows[0]?.standby !== true)
      return warning(
        'replicas',
        `${place} is no standby and is never read from`,
        'remove it, or name a standby',
      )
    if (here?.rows[0]?.id !== there?.rows[0]?.id)
      return error(
        'replicas',
        `${place} is a standby of another database`,
        'name a standby of the main database',
      )
    return await lagOf(primary, client, place)
  } finally {
    await client.end().catch(() => {})
  }
}

/** How long until it shows what the primary has now. */
async function lagOf(primary: Client, standby: Client, place: string): Promise<Finding> {
  const now = await primary.query<{ position: string }>(
    'select pg_current_wal_insert_lsn()::text as position',
  )
  const began = performance.now()
  while (performance.now() - began < longestWaitMs) {
    const { rows } = await standby.query<{ there: boolean }>(
      'select pg_last_wal_replay_lsn() >= $1::pg_lsn as there',
      [now.rows[0]?.position],
    )
    if (rows[0]?.there === true)
      return ok('replicas', `${place} is ${Math.round(performance.now() - began)} ms behind`)
    await sleep(20)
  }
  return warning(
    'replicas',
    `${place} is more than a second behind; reads go to the primary meanwhile`,
    'look at its disk, its network and its long reads',
  )
}
