// All checks, in the order an operator reads them.
import { errorText } from '../../log.ts'
import { openConnection, type PgConnection } from '../client.ts'
import type { Migration } from '../migrations.ts'
import { describeTarget, type PgTarget, samePlace } from '../target.ts'
import { checkClock, checkPoolers, checkTls } from './connection.ts'
import { attempt, error, type Finding, ok, warning } from './finding.ts'
import { checkReplicas } from './replicas.ts'
import { checkBloat, checkMigrations, checkPartitions, checkRights } from './schema.ts'
import { checkConnections, checkReplication, checkServer, checkTransactions } from './server.ts'
import { checkListen, checkLocks } from './sessions.ts'

export interface Patient {
  main: PgTarget
  direct: PgTarget
  /** there is nothing but a transaction pooler, and messages are asked for */
  polls?: boolean
  /** read replicas */
  replicas: PgTarget[]
  schema: string
  migrations: Migration[]
  appVersion: string
  /** how long a transaction must be open to be named; default five minutes */
  longSeconds?: number
  /** settings that are set and do nothing, one line each */
  idleSettings: string[]
}

/** Looks at everything; nothing is changed. Never throws: what cannot be looked at is a finding. */
export async function examine(patient: Patient): Promise<Finding[]> {
  const { main, direct, schema } = patient
  const settings = patient.idleSettings.map(text => warning('settings', text, 'remove it'))
  if (settings.length === 0) settings.push(ok('settings', 'none that has no effect'))
  const same = samePlace(main, direct)
  const opened: PgConnection[] = []
  const open = async (target: PgTarget) => {
    const connection = await openConnection(target, { applicationName: 'postern-doctor' })
    opened.push(connection)
    return connection
  }
  try {
    const first = await open(main)
    const own = await open(direct)
    const { client } = own
    return [
      ok(
        'reachable',
        same ? describeTarget(main) : `${describeTarget(main)}; direct ${describeTarget(direct)}`,
      ),
      ...(await attempt('version', () => checkServer(client))),
      ...checkTls(first, main),
      ...(same ? [] : checkTls(own, direct)),
      ...(await attempt('pooler', () => checkPoolers(main, direct, same, patient.polls))),
      ...(await attempt('connections', () => checkConnections(client, schema))),
      ...(patient.polls ? [] : await attempt('listen', () => checkListen(first, own))),
      ...(await attempt('locks', () => checkLocks(main, patient.polls ? undefined : direct))),
      ...(await attempt('clock', () => checkClock(own))),
      ...(await attempt('migrations', () => checkMigrations(client, patient))),
      ...(await attempt('rights', () => checkRights(first.client, schema))),
      ...(await attempt('replication', () => checkReplication(client))),
      ...(await attempt('replicas', () => checkReplicas(client, patient.replicas))),
      ...(await attempt('transactions', () => checkTransactions(client, patient.longSeconds))),
      ...(await attempt('bloat', () => checkBloat(client, schema))),
      ...(await attempt('partitions', () => checkPartitions(client, schema))),
      ...settings,
    ]
  } catch (cause) {
    return [error('reachable', errorText(cause), 'correct the setting that is named'), ...settings]
  } finally {
    await Promise.all(opened.map(({ client }) => client.end().catch(() => {})))
  }
}
