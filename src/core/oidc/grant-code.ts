// grant_type=authorization_code (RFC 6749 §4.1.3, RFC 7636 §4.5, RFC 9700 §2.1.1).
import type { Tx } from '../../pg/db.ts'
import type { Core } from '../core.ts'
import { mayAccess } from '../policies/bindings.ts'
import { sha256 } from '../secrets.ts'
import { findPrincipal } from '../sessions/sessions.sql.ts'
import { type CodeRow, findTakenCode, takeCode } from './codes.sql.ts'
import { OAuthError } from './errors.ts'
import { required } from './parameters.ts'
import { verifierMatches } from './pkce.ts'
import { endReusedGrant } from './reuse.ts'
import type { TokenRequest } from './token.ts'
import { issueTokens, type TokenAnswer } from './tokens.ts'

/**
 * Redeems a code. Taking it is the first thing that happens to it, so whatever fails afterwards leaves no code behind; a second
 * redemption ends what the first one got.
 */
export async function redeemCode(core: Core, request: TokenRequest): Promise<TokenAnswer> {
  const codeHash = sha256(required(request.parameters, 'code'))
  const redirectUri = required(request.parameters, 'redirect_uri')
  const verifier = request.parameters.get('code_verifier')
  // A refusal is returned, not thrown: a throw would roll the taking back.
  const outcome = await core.db.transaction(async tx => {
    const code = await takeCode(tx, codeHash, request.provider.id)
    if (code === undefined) return refuseReplay(core, tx, request, codeHash)
    return codeProblem(code, redirectUri, verifier) ?? issue(core, tx, request, code)
  })
  if (outcome instanceof OAuthError) throw outcome
  return outcome
}

function codeProblem(
  code: CodeRow,
  redirectUri: string,
  verifier: string | undefined,
): OAuthError | undefined {
  if (code.redirect_uri !== redirectUri)
    return new OAuthError('invalid_grant', 'redirect_uri is not the one the code was sent to.')
  if (code.code_challenge === null)
    return verifier === undefined
      ? undefined
      : new OAuthError('invalid_grant', 'The code was requested without a code_challenge.')
  if (verifier === undefined) return new OAuthError('invalid_grant', 'The code needs its code_verifier.')
  if (!verifierMatches(verifier, code.code_challenge))
    return new OAuthError('invalid_grant', 'The code_verifier is wrong.')
  return undefined
}

async function issue(
  core: Core,
  tx: Tx,
  request: TokenRequest,
  code: CodeRow,
): Promise<TokenAnswer | OAuthError> {
  const { provider } = request
  const principal = await findPrincipal(tx, code.user_id)
  if (principal === undefined) return new OAuthError('invalid_grant', 'The user of this code is not active.')
  const { id, policyEngineMode } = provider.application
  const access = await mayAccess(tx, principal, id, policyEngineMode)
  if (!access.passing) return new OAuthError('invalid_grant', 'The user may not use this application.')
  const refreshable = code.scopes.includes('offline_access') && provider.grantTypes.has('refresh_token')
  return issueTokens(
    core,
    tx,
    provider,
    {
      id: code.grant_id,
      principal,
      groupAttributes: code.group_attributes,
      sessionId: code.session_id,
      authAt: code.auth_at,
      amr: code.amr,
      nonce: code.nonce,
      scopes: code.scopes,
    },
    refreshable ? { scopes: code.scopes, replacedId: null } : null,
  )
}

/** Revocation and event happen only once per grant, so that a flood of replays writes nothing. */
async function refuseReplay(
  core: Core,
  tx: Tx,
  request: TokenRequest,
  codeHash: Buffer,
): Promise<OAuthError> {
  const taken = await findTakenCode(tx, codeHash, request.provider.id)
  if (taken !== undefined) {
    await endReusedGrant(core, tx, request, {
      grantId: taken.grant_id,
      userId: taken.user_id,
      logged: 'authorization code used twice',
      message: 'An authorization code was used twice; the tokens issued for it were ended.',
    })
  }
  return new OAuthError('invalid_grant', 'The code is unknown, used or expired.')
}
