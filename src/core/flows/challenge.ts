// The JSON a flow page is answered with: one object with a `component`, and what every one of them carries.
import { imageAddress } from '../media/address.ts'
import { avatarOf } from '../users/avatar.ts'
import type { Turn } from './stage.ts'

export interface Challenge {
  component: string
  [key: string]: unknown
}

export type FieldErrors = Record<string, { string: string; code: string }[]>

/** One error of one field, or of the whole form (`non_field_errors`). */
export function fieldError(field: string, text: string, code = 'invalid'): FieldErrors {
  return { [field]: [{ string: text, code }] }
}

type Shown = Pick<Turn, 'flow' | 'plan' | 'session'>

/** Adds what every challenge has. */
export function challenge(turn: Shown, component: string, fields: Record<string, unknown> = {}): Challenge {
  return { flow_info: flowInfo(turn), component, ...fields }
}

function flowInfo({ flow, plan }: Shown) {
  const background = imageAddress(flow.background || flow.brand_background, flow.background_files)
  return {
    title: flow.title.replaceAll('%(app)s', plan.context.application?.name ?? ''),
    background: background.url ?? '',
    background_themed_urls: background.themed,
    cancel_url: '/flows/-/cancel/',
    layout: flow.layout,
  }
}

/** Who the challenge is about: who is signing in, else who is signed in. */
export function pendingUser({ plan, session }: Pick<Turn, 'plan' | 'session'>): {
  pending_user: string
  pending_user_avatar: string
} {
  const name = plan.context.pending_user?.shown ?? session?.principal?.user.username ?? ''
  return { pending_user: name, pending_user_avatar: name === '' ? '' : avatarOf(name) }
}

/** The end: the browser goes there. */
export function redirectChallenge(to: string): Challenge {
  return { component: 'xak-flow-redirect', to, final_redirect: true }
}

/** No way on. `message` is meant for the user. */
export function deniedChallenge(turn: Shown, message: string): Challenge {
  return challenge(turn, 'ak-stage-access-denied', { error_message: message, ...pendingUser(turn) })
}
