// May this application know this about you? Remembered, so that only what is new is asked.
import { timingSafeEqual } from 'node:crypto'
import { durationMs } from '../duration.ts'
import type { PrincipalUser } from '../sessions/principal.ts'
import { challenge, fieldError, pendingUser } from './challenge.ts'
import { findConsent, storeConsent } from './consents.sql.ts'
import type { FlowApplication, Permission } from './plan.ts'
import { defineStage, type Judged, type Visit } from './stage.ts'
import type { ConsentConfig } from './stages.ts'

const expired = 'This request is not valid any more. Go back to the application and try again.'

export const consent = defineStage<ConsentConfig>({
  component: 'ak-stage-consent',

  async passes(turn, config) {
    const asked = request(turn)
    if (asked === null || asked.always || config.mode === 'always_require') return false
    const granted = await findConsent(turn.core.db, asked.user.id, asked.application.id)
    return granted !== undefined && asked.permissions.every(({ id }) => granted.includes(id))
  },

  async enter(turn, config) {
    const asked = request(turn)
    if (asked === null) return { kind: 'deny', message: expired }
    const { application, permissions } = asked
    const remembers = config.mode !== 'always_require'
    const granted = remembers ? await findConsent(turn.core.db, asked.user.id, application.id) : undefined
    const isNew = ({ id }: Permission) => granted !== undefined && !granted.includes(id)
    return {
      kind: 'ask',
      challenge: challenge(turn, 'ak-stage-consent', {
        header_text: asked.header || `You're about to sign into ${application.name}.`,
        permissions: permissions.filter(permission => !isNew(permission)),
        additional_permissions: permissions.filter(isNew),
        token: token(turn, asked).toString('base64url'),
        ...pendingUser(turn),
      }),
    }
  },

  async answer(turn, config, body): Promise<Judged> {
    const asked = request(turn)
    if (asked === null) return { kind: 'deny', message: expired }
    const given = Buffer.from(typeof body.token === 'string' ? body.token : '', 'base64url')
    const wanted = token(turn, asked)
    if (given.length !== wanted.length || !timingSafeEqual(given, wanted))
      return {
        kind: 'again',
        errors: fieldError('token', 'This page was out of date. Please confirm again.'),
      }
    if (config.mode !== 'always_require')
      await storeConsent(turn.core.db, {
        userId: asked.user.id,
        applicationId: asked.application.id,
        permissions: asked.permissions.map(({ id }) => id),
        expiresAt: expiryOf(turn, config),
      })
    return { kind: 'pass' }
  },
})

interface Asked {
  user: PrincipalUser
  application: FlowApplication
  header: string
  permissions: Permission[]
  always: boolean
}

/** What is asked of whom; null when nobody is signed in or the plan was made for no application. */
function request({ session, plan }: Visit): Asked | null {
  const { application, consent: wanted } = plan.context
  const user = session?.principal?.user
  if (user === undefined || application === undefined || wanted === undefined) return null
  return { user, application, ...wanted }
}

/** Repeated by the page: the answer is to this very question, asked in this session. */
function token({ core, session, flow }: Visit, asked: Asked): Buffer {
  const question = [session?.id, flow.id, asked.application.id, ...asked.permissions.map(({ id }) => id)]
  return core.secrets.mac('consent', JSON.stringify(question))
}

function expiryOf({ core }: Visit, config: ConsentConfig): Date | null {
  if (config.mode === 'permanent') return null
  return new Date(core.now().getTime() + durationMs(config.consent_expire_in))
}
