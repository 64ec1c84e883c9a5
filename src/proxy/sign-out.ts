// Signing out at an application: every session of that login ends here and at all other outposts, then Core decides about its own.
import { errorText } from '../log.ts'
import { instruction } from '../wire/frames.ts'
import { authenticate } from './authenticate.ts'
import { answerUnavailable, clearSessionCookie, type Exchange, redirect } from './exchange.ts'
import { loginUrl } from './login.ts'

/** The path `sign_out` and the logout signature. */
export async function handleSignOut(x: Exchange): Promise<void> {
  const verdict = await authenticate(x)
  if (verdict === 'unavailable') return answerUnavailable(x)
  if (verdict === 'anonymous') return redirect(x, loginUrl(x, ''))
  const { sid, sub, raw_token } = verdict.claims
  const { sessions, headerLogins, link, log } = x.parts
  const clientId = x.app.config.client_id
  try {
    if (sid === '') await sessions.endByUser(sub, clientId)
    else await sessions.endBySid(sid)
  } catch (error) {
    log.warning('sign-out failed, the session store cannot be reached', {
      name: x.app.name,
      error: errorText(error),
    })
    return answerUnavailable(x)
  }
  headerLogins.forget(sid === '' ? { sub, clientId } : { sid })
  if (sid !== '')
    link.send({ instruction: instruction.providerSpecific, args: { sub_type: 'logout', session_id: sid } })
  clearSessionCookie(x)
  const { endSession } = x.app.endpoints
  redirect(
    x,
    `${endSession}${endSession.includes('?') ? '&' : '?'}${new URLSearchParams({ id_token_hint: raw_token })}`,
  )
}
