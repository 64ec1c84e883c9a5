// What only a session of one's own can do: hear notifications, hold locks.
import { randomBytes } from 'node:crypto'
import { openConnection, type PgConnection } from '../client.ts'
import { quoteName } from '../migrations.ts'
import type { PgTarget } from '../target.ts'
import { error, type Finding, ok } from './finding.ts'

const name = { applicationName: 'postern-doctor' }
const direction =
  'let AUTHENTIK_POSTGRESQL__DIRECT__HOST lead to the database itself, not to a pooler or a standby'

/** A message sent on `main` must arrive on `direct` within a second. */
export async function checkListen(main: PgConnection, direct: PgConnection): Promise<Finding[]> {
  const channel = `postern_doctor_${randomBytes(6).toString('hex')}`
  const heard = Promise.withResolvers<boolean>()
  direct.client.on('notification', message => {
    if (message.channel === channel) heard.resolve(true)
  })
  await direct.client.query(`listen ${quoteName(channel)}`)
  const began = performance.now()
  const timer = setTimeout(() => heard.resolve(false), 1000)
  await main.client.query('select pg_notify($1, $2)', [channel, 'hello'])
  const arrived = await heard.promise
  clearTimeout(timer)
  await direct.client.query(`unlisten ${quoteName(channel)}`)
  const took = `${(performance.now() - began).toFixed(1)} ms`
  return [
    arrived
      ? ok('listen', `a message from main to direct took ${took}`)
      : error('listen', 'a message did not arrive within a second', direction),
  ]
}

/** Two connections must not hold one lock: of a transaction on `main`, of a session on `direct`, where there is one. */
export async function checkLocks(main: PgTarget, direct: PgTarget | undefined): Promise<Finding[]> {
  const key = randomBytes(8).readBigInt64BE().toString()
  const inTransaction = await excludes(
    main,
    ['begin', 'rollback'],
    `select pg_try_advisory_xact_lock(${key}) as got`,
  )
  const first = inTransaction
    ? ok('locks', 'a lock of a transaction excludes others on main')
    : error('locks', 'two transactions held one lock on main', direction)
  if (direct === undefined) return [first]
  const inSession = await excludes(
    direct,
    ['select 1', `select pg_advisory_unlock(${key})`],
    `select pg_try_advisory_lock(${key}) as got`,
  )
  return [
    first,
    inSession
      ? ok('locks', 'a lock of a session excludes others on direct')
      : error('locks', 'two sessions held one lock on direct; migrations could run twice', direction),
  ]
}

async function excludes(target: PgTarget, [begin, end]: [string, string], take: string): Promise<boolean> {
  const first = await openConnection(target, name)
  try {
    const second = await openConnection({ ...target, hosts: [first.at] }, name)
    try {
      await first.client.query(begin)
      const one = await first.client.query<{ got: boolean }>(take)
      await second.client.query(begin)
      const two = await second.client.query<{ got: boolean }>(take)
      await first.client.query(end)
      const three = await second.client.query<{ got: boolean }>(take)
      await second.client.query(end)
      return one.rows[0]?.got === true && two.rows[0]?.got === false && three.rows[0]?.got === true
    } finally {
      await second.client.end().catch(() => {})
    }
  } finally {
    await first.client.end().catch(() => {})
  }
}
