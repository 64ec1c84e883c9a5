// Is this the password of this account? The one place that answers, with lockout and events, whatever stage or endpoint asks.
import { setTimeout as wait } from 'node:timers/promises'
import type { Core } from '../core.ts'
import { recordEvent } from '../events/record.ts'
import { attempt } from './regulation.ts'
import { type Account, replaceHash } from './sign-in.sql.ts'

export interface SignInAttempt {
  /** null = nobody has the name; the answer is no after the same work */
  account: Account | null
  /** what was typed; for the lockout of unknown names and for the event */
  identifier: string
  password: string
  /** address of the client as established at the edge */
  clientIp: string
  /** added to the `login_failed` event, e.g. `{ stage }` */
  context?: Record<string, unknown>
}

/** About the time of a hash: an attempt that is refused unseen must not be told from a wrong password by its speed. */
const refusalMs = 45

/**
 * Judges a password. Unknown account, wrong password, inactive account and lock-out give the same answer.
 * Counts the attempt before it is judged, writes `login_failed`, renews a hash made with old parameters.
 * @throws ApiError 503 when too many passwords are waiting to be checked; such an attempt does not count
 */
export async function verifyPassword(
  core: Pick<Core, 'db' | 'log' | 'passwords'>,
  { account, identifier, password, clientIp, context }: SignInAttempt,
): Promise<boolean> {
  const who = account === null ? { name: identifier } : { userId: account.id }
  const counted = await attempt(core.db, who, clientIp)
  if (!counted.allowed) {
    core.log.info('sign-in refused after too many failures', { remote: clientIp, user: account?.id ?? null })
    await wait(refusalMs)
    return false
  }
  let right: boolean
  try {
    right = await core.passwords.verify(password, account?.password ?? null)
  } catch (error) {
    await counted.undone()
    throw error
  }
  if (!right || account === null || !account.is_active) {
    await recordFailure(core, { account, identifier, password, clientIp, context }, counted.justLocked)
    return false
  }
  await counted.succeeded()
  await renewHash(core, account, password)
  return true
}

async function recordFailure(
  core: Pick<Core, 'db'>,
  { account, identifier, clientIp, context }: SignInAttempt,
  locked: boolean,
): Promise<void> {
  await recordEvent(core.db, {
    action: 'login_failed',
    app: 'authentik.core.auth',
    user: account === null ? null : { pk: account.id, username: account.username, email: account.email },
    context: { ...context, username: identifier.slice(0, 254), locked },
    clientIp,
  })
}

async function renewHash(
  core: Pick<Core, 'db' | 'passwords'>,
  account: Account,
  password: string,
): Promise<void> {
  if (account.password === null || !core.passwords.needsRehash(account.password)) return
  await replaceHash(core.db, account.id, account.password, await core.passwords.hash(password))
}
