// POST /application/o/introspect/ (RFC 7662): what outposts ask for every bearer token they see. One statement.
import type { FastifyRequest } from 'fastify'
import type { Core } from '../core.ts'
import { sha256 } from '../secrets.ts'
import { presentedClient, refuseClient, secretMatches } from './client-auth.ts'
import { findIntrospection } from './introspection.sql.ts'
import { required } from './parameters.ts'
import { formParameters } from './token.ts'

/**
 * @returns claims and metadata of a live token the caller may see; `{ active: false }` for everything else
 * @throws OAuthError `invalid_client`: a public client cannot prove who asks, so it may not
 */
export async function introspect(core: Core, request: FastifyRequest): Promise<Record<string, unknown>> {
  const parameters = formParameters(request)
  const presented = presentedClient(request.headers.authorization, parameters)
  const token = parameters.get('token')
  const found = await findIntrospection(core.db, presented.clientId, sha256(token ?? ''))
  if (found === undefined || found.client_type === 'public' || presented.secret === undefined)
    refuseClient(presented)
  const secret = core.secrets.open('client_secret', found.client_secret_sealed)
  if (!secretMatches(presented.secret, secret)) refuseClient(presented)
  required(parameters, 'token')
  if (found.kind === null) return { active: false }
  const claims: Record<string, unknown> =
    found.claims_sealed === null ? {} : JSON.parse(core.secrets.open('token_claims', found.claims_sealed))
  return {
    ...claims,
    active: true,
    scope: found.scopes.join(' '),
    client_id: found.token_client_id,
    token_type: found.kind === 'access' ? 'Bearer' : 'refresh_token',
    exp: Math.floor(found.expires_at.getTime() / 1000),
    iat: claims.iat ?? Math.floor(found.created_at.getTime() / 1000),
  }
}
