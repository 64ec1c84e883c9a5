// Signs the browser out.
import { logOut } from '../sessions/login.ts'
import { defineStage } from './stage.ts'

export const userLogout = defineStage<object>({
  component: 'ak-stage-user-logout',

  async enter(turn) {
    const { core, request, reply, session } = turn
    if (session === null) return { kind: 'done' }
    await logOut(core, request, reply, session)
    turn.session = null
    turn.plan.row = null
    return { kind: 'done' }
  },
})
