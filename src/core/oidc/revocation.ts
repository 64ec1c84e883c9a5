// POST /application/o/revoke/ (RFC 7009): a client gives up a token. A refresh token takes everything of its grant with it.
import type { FastifyRequest } from 'fastify'
import type { Core } from '../core.ts'
import { sha256 } from '../secrets.ts'
import { presentedClient, refuseClient } from './client-auth.ts'
import { required } from './parameters.ts'
import { loadProvider, type Provider } from './provider.ts'
import { authenticate, formParameters } from './token.ts'
import { revokeToken } from './tokens.sql.ts'

/** Ends the token when it is the caller's; says nothing about whether it was. @throws OAuthError `invalid_client`, `invalid_request` */
export async function revoke(
  core: Core,
  request: FastifyRequest,
  onClient: (provider: Provider) => void,
): Promise<void> {
  const parameters = formParameters(request)
  const presented = presentedClient(request.headers.authorization, parameters)
  const provider = await loadProvider(core, core.db, { clientId: presented.clientId })
  if (provider === undefined) refuseClient(presented)
  onClient(provider)
  authenticate(provider, presented)
  await revokeToken(core.db, sha256(required(parameters, 'token')), provider.id)
}
