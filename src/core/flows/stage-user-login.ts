// Signs in who proved who they are. It asks nothing, unless it may offer to stay signed in.
import { durationMs } from '../duration.ts'
import { logIn } from '../sessions/login.ts'
import { challenge, fieldError, pendingUser } from './challenge.ts'
import { takePlan } from './plans.sql.ts'
import { defineStage, FlowBroken, type Judged, PlanMoved, type Turn } from './stage.ts'
import type { UserLoginConfig } from './stages.ts'

const notActive = 'This account cannot be signed in to.'

export const userLogin = defineStage<UserLoginConfig>({
  component: 'ak-stage-user-login',

  async enter(turn, config) {
    provenUser(turn)
    if (durationMs(config.remember_me_offset) > 0)
      return { kind: 'ask', challenge: challenge(turn, 'ak-stage-user-login', pendingUser(turn)) }
    return (await signIn(turn, config, false)) ? { kind: 'done' } : { kind: 'deny', message: notActive }
  },

  async answer(turn, config, body): Promise<Judged> {
    provenUser(turn)
    if (typeof body.remember_me !== 'boolean')
      return { kind: 'again', errors: fieldError('remember_me', 'This field is required.', 'required') }
    return (await signIn(turn, config, body.remember_me))
      ? { kind: 'pass' }
      : { kind: 'deny', message: notActive }
  },
})

/** @throws FlowBroken when nobody did: a flow without a stage that proves anything must not sign anybody in */
function provenUser(turn: Turn): { userId: number; authMethod: string } {
  const { pending_user, auth_method } = turn.plan.context
  if (typeof pending_user?.id !== 'number' || auth_method === undefined)
    throw new FlowBroken(`flow "${turn.flow.slug}" reaches its user_login stage with nobody authenticated`)
  return { userId: pending_user.id, authMethod: auth_method }
}

/** The plan is taken in the transaction of the login, so that it signs in once; it goes on in the new session. */
async function signIn(turn: Turn, config: UserLoginConfig, remember: boolean): Promise<boolean> {
  const { core, request, reply, plan } = turn
  const base = durationMs(config.session_duration)
  const result = await logIn(core, request, reply, turn.session, {
    ...provenUser(turn),
    authArgs: plan.context.auth_args ?? {},
    durationMs: remember ? base + durationMs(config.remember_me_offset) : base,
    terminateOthers: config.terminate_other_sessions,
    claim: async tx => plan.row === null || (await takePlan(tx, plan.row)),
  })
  if (result === 'moved') throw new PlanMoved()
  if (result === 'refused') return false
  turn.session = result.session
  plan.row = null
  return true
}
