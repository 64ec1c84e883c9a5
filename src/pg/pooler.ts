// Does a pooler stand in front of an endpoint, and does it change the backend from transaction to transaction? Then LISTEN, session
// locks and anything else kept in a session is silently lost there. The test leaves nothing behind in a backend: it only compares
// backend numbers while another connection sits in a transaction.
import { openConnection, type PgConnection } from './client.ts'
import { PgError } from './errors.ts'
import { runStatement } from './statement.ts'
import { describeTarget, type PgTarget, samePlace } from './target.ts'

/**
 * - `none`: the database itself
 * - `session`: a pooler that gives each client a backend of its own
 * - `transaction`: a backend per transaction; nothing may be kept in the session
 * - `statement`: not even transactions are possible
 * - `unclear`: a pooler whose backends are all busy, so that it could not be told; treated as `transaction`
 */
export type PoolerKind = 'none' | 'session' | 'transaction' | 'statement' | 'unclear'

export interface PoolerVerdict {
  kind: PoolerKind
  /** What was seen, for people. */
  evidence: string
}

export const poolerSettings = ['auto', 'none', 'session', 'transaction', 'transaction-only'] as const
export type PoolerSetting = (typeof poolerSettings)[number]

const rounds = 6
const deadlineMs = 1000

/**
 * Judges one endpoint. On the database itself this is one connection and one statement: the number the protocol announced is the
 * backend's own. Poolers announce numbers of their own; then a second connection is opened and, while it is in a transaction, the
 * first one looks whether it still has its backend.
 * @throws PgError when the endpoint cannot be used
 */
export async function probePooler(target: PgTarget): Promise<PoolerVerdict> {
  const first = await openConnection(target, { applicationName: 'postern-pooler-test' })
  try {
    const pid = await backendOf(first)
    if (pid === announcedPid(first)) return { kind: 'none', evidence: `backend ${pid} answers itself` }
    // The same host as the first connection: another one of the list would have other backends.
    const second = await openConnection(
      { ...target, hosts: [first.at] },
      { applicationName: 'postern-pooler-test' },
    )
    try {
      return await compare(first, second, pid)
    } finally {
      await second.client.end().catch(() => {})
    }
  } finally {
    await first.client.end().catch(() => {})
  }
}

async function compare(first: PgConnection, second: PgConnection, pid: number): Promise<PoolerVerdict> {
  for (let round = 1; round <= rounds; round++) {
    let other: number
    // A pooler hands out the backend that came back last, or the one that has rested longest. So the first connection is the last
    // to give one back in every other round (the first included), and the second connection in those between.
    const before = round > 1 && round % 2 === 1 ? await backendOf(first) : pid
    if (before !== pid) return changed(pid, before)
    try {
      await ask(second, 'begin')
      other = await backendOf(second)
    } catch (error) {
      if (/statement pooling/i.test(String(error))) {
        return { kind: 'statement', evidence: 'transactions are not allowed' }
      }
      if (!isLate(error)) throw error
      // Nobody else can have the only backend unless the first connection, which is idle, keeps it.
      return { kind: 'unclear', evidence: `no second backend within ${deadlineMs} ms` }
    }
    try {
      if (other === pid) {
        return { kind: 'transaction', evidence: `two connections were given the same backend ${pid}` }
      }
      const now = await backendOf(first)
      if (now !== pid) return changed(pid, now)
    } catch (error) {
      if (!isLate(error)) throw error
      return { kind: 'transaction', evidence: 'an idle connection lost its backend to another one' }
    }
    await ask(second, 'rollback')
  }
  return { kind: 'session', evidence: `backend ${pid} stayed with its connection` }
}

function changed(pid: number, now: number): PoolerVerdict {
  return { kind: 'transaction', evidence: `one connection was given backend ${pid}, then ${now}` }
}

function announcedPid(connection: PgConnection): number | null {
  return (connection.client as unknown as { processID: number | null }).processID
}

async function backendOf(connection: PgConnection): Promise<number> {
  const { rows } = await ask<{ pid: number }>(connection, 'select pg_backend_pid() as pid')
  return rows[0]?.pid ?? 0
}

function ask<Row>(connection: PgConnection, text: string) {
  return runStatement<Row>(connection, text, undefined, deadlineMs, deadlineMs)
}

function isLate(error: unknown): boolean {
  return error instanceof PgError && error.code === 'statement_timeout'
}

export interface EndpointVerdicts {
  main: PoolerVerdict | undefined
  /** Undefined when it is the same endpoint as main. */
  direct: PoolerVerdict | undefined
}

/**
 * Makes sure that the direct connection can keep what it must keep, before anything relies on it.
 * @param setting `auto` looks; anything else is believed of `main`, and `transaction` still looks at `direct`. `transaction-only`
 * says that there is no direct connection, which is then not asked for
 * @throws PgError `database_refused`, one line that names the setting to change
 */
export async function checkPooler(options: {
  main: PgTarget
  direct: PgTarget
  setting: PoolerSetting
}): Promise<EndpointVerdicts> {
  const { main, direct, setting } = options
  if (setting === 'none' || setting === 'session') return { main: undefined, direct: undefined }
  const same = samePlace(main, direct)
  const alone = setting === 'transaction-only'
  if (alone && !same) throw new PgError('database_refused', contradiction(direct))
  const judged = setting === 'auto' || alone ? await probePooler(main) : undefined
  const verdict = judged ?? { kind: 'transaction' as const, evidence: 'AUTHENTIK_POSTGRESQL__POOLER says so' }
  if (verdict.kind === 'statement') {
    throw new PgError(
      'database_refused',
      `${describeTarget(main)} is a pooler in statement mode (${verdict.evidence}); Postern needs transactions. Set the pooler to transaction mode.`,
    )
  }
  if (alone) return { main: verdict, direct: undefined }
  if (same && !keepsSessions(verdict)) throw new PgError('database_refused', needsDirect(main, verdict))
  if (same) return { main: verdict, direct: undefined }
  const behind = await probePooler(direct)
  if (!keepsSessions(behind)) {
    throw new PgError(
      'database_refused',
      `the direct connection ${describeTarget(direct)} leads to a pooler as well (${behind.evidence}). Set AUTHENTIK_POSTGRESQL__DIRECT__HOST and AUTHENTIK_POSTGRESQL__DIRECT__PORT to the database itself.`,
    )
  }
  return { main: verdict, direct: behind }
}

/** True when LISTEN and session locks work there. */
export function keepsSessions(verdict: PoolerVerdict): boolean {
  return verdict.kind === 'none' || verdict.kind === 'session'
}

function contradiction(direct: PgTarget): string {
  return `AUTHENTIK_POSTGRESQL__POOLER=transaction-only says that there is no way but the pooler, and AUTHENTIK_POSTGRESQL__DIRECT__HOST names ${describeTarget(direct)}. Set AUTHENTIK_POSTGRESQL__POOLER=transaction to use it, or remove the DIRECT settings.`
}

function needsDirect(main: PgTarget, verdict: PoolerVerdict): string {
  const what =
    verdict.kind === 'unclear'
      ? `a pooler stands at ${describeTarget(main)}, and whether it keeps sessions could not be seen (${verdict.evidence})`
      : `${describeTarget(main)} is a transaction pooler (${verdict.evidence})`
  const session =
    verdict.kind === 'unclear' ? ', or AUTHENTIK_POSTGRESQL__POOLER=session if it does keep them' : ''
  return `${what}: messages between processes and migrations would silently fail there. Set AUTHENTIK_POSTGRESQL__DIRECT__HOST to the database itself${session}. Where nothing but the pooler can be reached, AUTHENTIK_POSTGRESQL__POOLER=transaction-only makes do with asking for messages.`
}
