// grant_type=refresh_token (RFC 6749 §6) with rotation and reuse detection (RFC 9700 §4.14.2).
import type { Tx } from '../../pg/db.ts'
import type { Core } from '../core.ts'
import { mayAccess } from '../policies/bindings.ts'
import { sha256 } from '../secrets.ts'
import { findPrincipal } from '../sessions/sessions.sql.ts'
import { grantedScopes } from './claims.ts'
import { OAuthError } from './errors.ts'
import { required, words } from './parameters.ts'
import { endReusedGrant } from './reuse.ts'
import type { TokenRequest } from './token.ts'
import { isInGrace, lockRefreshToken, type RefreshTokenRow } from './tokens.sql.ts'
import { issueTokens, type RefreshChoice, type TokenAnswer } from './tokens.ts'

/** Uses a refresh token. One that was replaced already ends its family, except in the seconds after its replacement. */
export async function refresh(core: Core, request: TokenRequest): Promise<TokenAnswer> {
  const tokenHash = sha256(required(request.parameters, 'refresh_token'))
  // A refusal is returned, not thrown: a throw would roll the end of the family back.
  const outcome = await core.db.transaction(async tx => {
    const token = await lockRefreshToken(tx, tokenHash, request.provider.id)
    if (token === undefined || (token.expired && !token.revoked)) return unknownToken()
    if (token.revoked && !(await isInGrace(tx, token.id))) return refuseReuse(core, tx, request, token)
    return issue(core, tx, request, token)
  })
  if (outcome instanceof OAuthError) throw outcome
  return outcome
}

function unknownToken(): OAuthError {
  return new OAuthError('invalid_grant', 'The refresh token is unknown, used or expired.')
}

async function issue(
  core: Core,
  tx: Tx,
  request: TokenRequest,
  token: RefreshTokenRow,
): Promise<TokenAnswer | OAuthError> {
  const { provider } = request
  const asked = words(request.parameters.get('scope'))
  if (asked.some(scope => !token.scopes.includes(scope)))
    return new OAuthError('invalid_scope', 'A refresh token cannot be used for more than was granted.')
  const scopes = grantedScopes(asked.length === 0 ? token.scopes : asked, provider.mappings)
  if (scopes.length === 0) return new OAuthError('invalid_scope', 'None of the scopes is available any more.')
  const principal = await findPrincipal(tx, token.user_id)
  if (principal === undefined) return new OAuthError('invalid_grant', 'The user of this token is not active.')
  const { id, policyEngineMode } = provider.application
  const access = await mayAccess(tx, principal, id, policyEngineMode)
  if (!access.passing) return new OAuthError('invalid_grant', 'The user may not use this application.')
  return issueTokens(
    core,
    tx,
    provider,
    {
      id: token.grant_id,
      principal,
      groupAttributes: token.group_attributes,
      sessionId: token.session_id,
      authAt: token.auth_at,
      amr: token.amr,
      nonce: null,
      scopes,
    },
    nextToken(core, request, token),
  )
}

/** A token in its grace gets no successor: that one was given out already. */
function nextToken(core: Core, { provider }: TokenRequest, token: RefreshTokenRow): RefreshChoice | null {
  if (token.revoked) return null
  const leftMs = token.expires_at.getTime() - core.now().getTime()
  const keep = provider.refreshThresholdMs > 0 && leftMs >= provider.refreshThresholdMs
  return keep ? null : { scopes: token.scopes, replacedId: token.id }
}

async function refuseReuse(
  core: Core,
  tx: Tx,
  request: TokenRequest,
  token: RefreshTokenRow,
): Promise<OAuthError> {
  await endReusedGrant(core, tx, request, {
    grantId: token.grant_id,
    userId: token.user_id,
    logged: 'refresh token used after its end',
    message: 'A replaced refresh token was used; all tokens of its grant were ended.',
  })
  return unknownToken()
}
