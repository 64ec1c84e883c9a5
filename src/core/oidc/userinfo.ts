// /application/o/userinfo/ (OpenID Connect Core §5.3): the user's claims as they are now, for a live access token.
import type { FastifyRequest } from 'fastify'
import type { Core } from '../core.ts'
import { sha256 } from '../secrets.ts'
import { findPrincipal } from '../sessions/sessions.sql.ts'
import { subOf } from './claims.ts'
import { OAuthError } from './errors.ts'
import { readParameters } from './parameters.ts'
import { loadProvider, type Provider } from './provider.ts'
import { findAccessToken, findGroupAttributes } from './tokens.sql.ts'
import { mappedClaims } from './tokens.ts'

/** @throws OAuthError `invalid_token` or `insufficient_scope` with the challenge of RFC 6750 §3 */
export async function userinfo(
  core: Core,
  request: FastifyRequest,
  onClient: (provider: Provider) => void,
): Promise<Record<string, unknown>> {
  const bearer = bearerOf(request)
  const token = await findAccessToken(core.db, sha256(bearer))
  const provider =
    token === undefined ? undefined : await loadProvider(core, core.db, { id: token.provider_id })
  if (token === undefined || provider === undefined)
    throw invalidToken('The access token is unknown, ended or expired.')
  onClient(provider)
  if (!token.scopes.includes('openid'))
    throw new OAuthError('insufficient_scope', 'The access token was not granted the scope openid.', {
      headers: { 'WWW-Authenticate': 'Bearer error="insufficient_scope", scope="openid"' },
    })
  const principal = await findPrincipal(core.db, token.user_id)
  if (principal === undefined) throw invalidToken('The user of this token is not active.')
  const groupAttributes = token.scopes.includes('ak_proxy')
    ? await findGroupAttributes(core.db, token.user_id)
    : []
  return {
    ...mappedClaims(core, provider, { principal, groupAttributes, scopes: token.scopes }),
    sub: subOf(provider.subMode, principal),
  }
}

/** The token from the header, or from the form body of a POST (RFC 6750 §2.1, §2.2); never from the URL. */
function bearerOf(request: FastifyRequest): string {
  const header = request.headers.authorization
  const [, fromHeader] = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(header?.trim() ?? '') ?? []
  const fromBody = request.method === 'POST' ? readParameters(request.body).get('access_token') : undefined
  if (fromHeader !== undefined && fromBody !== undefined)
    throw new OAuthError('invalid_request', 'The access token was sent in more than one way.', {
      headers: { 'WWW-Authenticate': 'Bearer error="invalid_request"' },
    })
  const token = fromHeader ?? fromBody
  if (token !== undefined) return token
  if (header !== undefined) throw invalidToken('The Authorization header holds no access token.')
  throw new OAuthError('invalid_token', 'No access token was sent.', {
    headers: { 'WWW-Authenticate': 'Bearer' },
  })
}

function invalidToken(description: string): OAuthError {
  return new OAuthError('invalid_token', description, {
    headers: { 'WWW-Authenticate': 'Bearer error="invalid_token"' },
  })
}
