// The two ways an authorization request ends at the client's redirect URI: a code, or an error.
import { randomBytes, randomUUID } from 'node:crypto'
import type { Core } from '../core.ts'
import { recordEvent } from '../events/record.ts'
import { sha256 } from '../secrets.ts'
import type { BrowserSession, Principal } from '../sessions/principal.ts'
import type { AnswerTarget, AuthorizeRequest } from './authorize-request.ts'
import { amrOf } from './claims.ts'
import { insertCode } from './codes.sql.ts'
import type { OAuthError } from './errors.ts'
import { issuerOf } from './urls.ts'

/**
 * Creates the code, with its event, and gives the URL that carries it to the client.
 * @param session of `principal`
 */
export async function codeUrl(
  core: Core,
  authorize: AuthorizeRequest,
  session: BrowserSession,
  principal: Principal,
  clientAddress: string,
): Promise<string> {
  const { provider, scopes } = authorize
  const { user } = principal
  const code = randomBytes(32).toString('base64url')
  await core.db.transaction(async tx => {
    await insertCode(tx, {
      codeHash: sha256(code),
      providerId: provider.id,
      userId: user.id,
      sessionId: session.id,
      grantId: randomUUID(),
      scopes,
      redirectUri: authorize.redirectUri,
      nonce: authorize.nonce ?? null,
      authAt: session.authAt ?? session.createdAt,
      amr: amrOf(session.authMethod, session.authArgs),
      codeChallenge: authorize.codeChallenge ?? null,
      expiresAt: new Date(core.now().getTime() + provider.codeLifeMs),
    })
    await recordEvent(tx, {
      action: 'authorize_application',
      app: 'authentik.providers.oauth2',
      user: { pk: user.id, username: user.username, email: user.email },
      context: {
        authorized_application: {
          pk: provider.application.id.replaceAll('-', ''),
          app: 'authentik_core',
          name: provider.application.name,
          model_name: 'application',
        },
        scopes: scopes.join(' '),
        flow: provider.authorizationFlowId.replaceAll('-', ''),
      },
      clientIp: clientAddress,
    })
  })
  return answerUrl(core, authorize, { code })
}

/** The redirect that tells the client why it gets no code (RFC 6749 §4.1.2.1). */
export function errorUrl(core: Core, target: AnswerTarget, error: OAuthError): string {
  return answerUrl(core, target, { error: error.code, error_description: error.message })
}

/** Adds to what the redirect URI already says; the issuer always goes with it (RFC 9207). */
function answerUrl(core: Core, target: AnswerTarget, answer: Record<string, string>): string {
  const { provider, redirectUri, state, responseMode } = target
  const parameters = new URLSearchParams(answer)
  if (state !== undefined) parameters.set('state', state)
  parameters.set('iss', issuerOf(core.baseUrl, provider.application.slug, provider.issuerMode))
  const base = headerSafe(redirectUri)
  if (responseMode === 'fragment') return `${base}#${parameters}`
  const joint = !base.includes('?') ? '?' : /[?&]$/.test(base) ? '' : '&'
  return `${base}${joint}${parameters}`
}

/** A registered URI may hold letters that a header cannot. */
function headerSafe(uri: string): string {
  return uri.replace(/[^\x21-\x7e]+/gu, text => encodeURIComponent(text))
}
