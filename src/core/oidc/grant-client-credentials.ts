// grant_type=client_credentials and grant_type=password: a program signs in. What it presents is the proof, so no other client
// authentication is asked for: an app password in `username` and `password` (what outposts send for an Authorization header), the same
// two joined by a colon in base64 as `client_secret`, or the client's own secret, which signs in a service account of the application.
import { isUtf8 } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import { isUniqueViolation } from '../../pg/errors.ts'
import type { Core } from '../core.ts'
import { recordEvent } from '../events/record.ts'
import { mayAccess } from '../policies/bindings.ts'
import { sha256 } from '../secrets.ts'
import type { Principal } from '../sessions/principal.ts'
import { findPrincipal } from '../sessions/sessions.sql.ts'
import { insertUser } from '../users/new-user.sql.ts'
import { findAppPassword, findServiceAccount } from './accounts.sql.ts'
import { amrOf, grantedScopes } from './claims.ts'
import { refuseClient, secretMatches } from './client-auth.ts'
import { OAuthError } from './errors.ts'
import { words } from './parameters.ts'
import type { Provider } from './provider.ts'
import type { TokenRequest } from './token.ts'
import { findGroupAttributes } from './tokens.sql.ts'
import { issueTokens, type TokenAnswer } from './tokens.ts'

interface SignedIn {
  userId: number
  method: 'token' | 'oauth_client_secret'
  /** of the app password */
  identifier?: string
}

/** @throws OAuthError `invalid_grant` for a wrong app password, `invalid_client` for a wrong secret */
export async function signInProgram(core: Core, request: TokenRequest): Promise<TokenAnswer> {
  const { provider } = request
  const signedIn = await proof(core, request)
  const principal = await findPrincipal(core.db, signedIn.userId)
  if (principal === undefined) throw new OAuthError('invalid_grant', 'The user is not active.')
  const { id, policyEngineMode } = provider.application
  const access = await mayAccess(core.db, principal, id, policyEngineMode)
  if (!access.passing) throw new OAuthError('invalid_grant', 'The user may not use this application.')
  const scopes = grantedScopes(words(request.parameters.get('scope')), provider.mappings)
  if (scopes.length === 0) throw new OAuthError('invalid_scope', 'None of the scopes is available.')
  const groupAttributes = scopes.includes('ak_proxy')
    ? await findGroupAttributes(core.db, principal.user.id)
    : []
  return core.db.transaction(async tx => {
    await recordLogin(tx, request, principal, signedIn)
    return issueTokens(
      core,
      tx,
      provider,
      {
        id: randomUUID(),
        principal,
        groupAttributes,
        sessionId: null,
        authAt: core.now(),
        amr: amrOf(signedIn.method, {}),
        nonce: null,
        scopes,
      },
      null,
    )
  })
}

async function proof(core: Core, request: TokenRequest): Promise<SignedIn> {
  const { parameters, presented, provider } = request
  const username = parameters.get('username')
  const password = parameters.get('password')
  if (username !== undefined || password !== undefined) {
    if (username === undefined || password === undefined)
      throw new OAuthError('invalid_request', 'An app password needs both username and password.')
    if (presented.secret !== undefined && !secretMatches(presented.secret, provider.clientSecret))
      refuseClient(presented)
    return appPassword(core, username, password)
  }
  if (request.parameters.get('grant_type') === 'password')
    throw new OAuthError('invalid_request', 'Missing required parameter "username".')
  if (presented.secret === undefined) refuseClient(presented)
  if (provider.clientType === 'confidential' && secretMatches(presented.secret, provider.clientSecret))
    return { userId: await serviceAccount(core, provider), method: 'oauth_client_secret' }
  const joined = joinedCredentials(presented.secret)
  if (joined === null) refuseClient(presented)
  return appPassword(core, joined.username, joined.password)
}

/** `user:password` in base64; null for anything else, such as a wrong random secret that happens to decode to bytes with a colon. */
function joinedCredentials(secret: string): { username: string; password: string } | null {
  const bytes = Buffer.from(secret, 'base64')
  const text = bytes.toString('utf8')
  const colon = text.indexOf(':')
  if (colon < 1 || !isUtf8(bytes) || /[\x00-\x1f\x7f]/.test(text)) return null
  return { username: text.slice(0, colon), password: text.slice(colon + 1) }
}

async function appPassword(core: Core, username: string, password: string): Promise<SignedIn> {
  const found = await findAppPassword(core.db, username, sha256(password))
  if (found === undefined)
    throw new OAuthError('invalid_grant', 'The user name or the app password is wrong.')
  return { userId: found.user_id, method: 'token', identifier: found.identifier }
}

/** The account a client acts as when it signs in as itself; made at the first use. */
async function serviceAccount(core: Core, provider: Provider): Promise<number> {
  const username = `ak-${provider.name}-client_credentials`
  const path = `goauthentik.io/apps/${provider.application.slug}`
  const found = await findServiceAccount(core.db, username, path)
  if (found !== undefined) return found.id
  try {
    const made = await insertUser(core.db, core.installationId, {
      username,
      name: `Application ${provider.application.name}`,
      type: 'service_account',
      path,
      attributes: { 'goauthentik.io/user/generated': true },
    })
    return made.id
  } catch (error) {
    if (!isUniqueViolation(error, 'users_username')) throw error
    const other = await findServiceAccount(core.db, username, path)
    if (other !== undefined) return other.id
    throw new OAuthError('server_error', 'Another user has the name of the service account.', {
      cause: error,
    })
  }
}

async function recordLogin(
  db: Parameters<typeof recordEvent>[0],
  request: TokenRequest,
  { user }: Principal,
  signedIn: SignedIn,
): Promise<void> {
  await recordEvent(db, {
    action: 'login',
    app: 'authentik.providers.oauth2',
    user: { pk: user.id, username: user.username, email: user.email },
    context: {
      auth_method: signedIn.method,
      auth_method_args: {
        provider: { pk: request.provider.id, name: request.provider.name },
        ...(signedIn.identifier === undefined ? {} : { identifier: signedIn.identifier }),
      },
    },
    clientIp: request.clientAddress,
  })
}
