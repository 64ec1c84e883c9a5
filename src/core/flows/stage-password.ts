// The password, on a page of its own.
import { findAccount } from '../users/sign-in.sql.ts'
import { verifyPassword } from '../users/sign-in.ts'
import { challenge, fieldError, pendingUser } from './challenge.ts'
import { defineStage, type Judged, type Turn } from './stage.ts'
import type { PasswordConfig } from './stages.ts'

export const password = defineStage<PasswordConfig>({
  component: 'ak-stage-password',

  /** Somebody already proved who they are in this very plan, with the password on the page of the name. */
  passes: ({ plan }) =>
    plan.context.auth_method !== undefined && typeof plan.context.pending_user?.id === 'number',

  enter(turn, config) {
    if (turn.plan.context.pending_user === undefined)
      return { kind: 'deny', message: 'Nobody is signing in.' }
    return {
      kind: 'ask',
      challenge: challenge(turn, 'ak-stage-password', {
        ...pendingUser(turn),
        recovery_url: null,
        allow_show_password: config.allow_show_password,
      }),
    }
  },

  async answer(turn, config, body): Promise<Judged> {
    const pending = turn.plan.context.pending_user
    if (pending === undefined) return { kind: 'deny', message: 'Nobody is signing in.' }
    if (typeof body.password !== 'string' || body.password === '')
      return { kind: 'again', errors: fieldError('password', 'This field is required.', 'required') }
    const { db } = turn.core
    // Asked for nobody as well (no user has the id 0), so that both take as long.
    const account = await findAccount(db, pending.id ?? 0)
    const right = await verifyPassword(turn.core, {
      account: account ?? null,
      identifier: pending.identifier,
      password: body.password,
      clientIp: turn.request.client.clientAddress,
      context: { flow: turn.flow.slug },
    })
    if (!right || account === undefined) return countFailure(turn, config, 'password', 'Invalid password')
    return {
      kind: 'pass',
      context: {
        pending_user: { ...pending, shown: account.username },
        auth_method: 'password',
        auth_args: {},
        failed_attempts: undefined,
      },
    }
  },
})

/** One more wrong password in this plan; after so many it ends. */
export function countFailure(turn: Turn, config: PasswordConfig, field: string, text: string): Judged {
  const failed = (turn.plan.context.failed_attempts ?? 0) + 1
  if (failed >= config.failed_attempts_before_cancel)
    return { kind: 'deny', message: 'Too many failed sign-in attempts. Please try again later.' }
  return { kind: 'again', errors: fieldError(field, text), context: { failed_attempts: failed } }
}
