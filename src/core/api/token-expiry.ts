// How long a token may live: only superusers make ones that never expire, and an account may carry a shorter maximum.
import { parseDuration } from '../duration.ts'
import { invalid } from '../errors.ts'
import type { Principal } from '../sessions/principal.ts'

export const defaultTokenMs = 86_400_000

export interface ExpiryInput {
  expiring?: boolean
  expires?: string | null
}

/**
 * @param standardMs lifetime when the body names none
 * @returns time of expiry, null = never
 * @throws ApiError 400 on `expires` or `expiring`
 */
export function expiryOf(
  principal: Principal,
  input: ExpiryInput,
  now: Date,
  standardMs = defaultTokenMs,
): Date | null {
  if (input.expiring === false) {
    if (!principal.isSuperuser)
      throw invalid({ expiring: 'Only a superuser may make a token that does not expire.' })
    return null
  }
  const asked = input.expires
  const at = asked === undefined || asked === null ? new Date(now.getTime() + standardMs) : new Date(asked)
  if (at.getTime() <= now.getTime()) throw invalid({ expires: 'This must be in the future.' })
  const maximum = maximumLifetime(principal)
  if (maximum !== null && !principal.isSuperuser && at.getTime() > now.getTime() + maximum) {
    if (asked === undefined || asked === null) return new Date(now.getTime() + maximum)
    throw invalid({ expires: 'This is later than the maximum lifetime of your tokens.' })
  }
  return at
}

function maximumLifetime(principal: Principal): number | null {
  const value = principal.user.attributes['goauthentik.io/user/token-maximum-lifetime']
  return typeof value === 'string' ? parseDuration(value) : null
}
