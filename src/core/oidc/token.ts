// POST /application/o/token/: who calls, what for, may it; then one function per grant type. No cookie is ever read here.
import type { FastifyRequest } from 'fastify'
import type { Core } from '../core.ts'
import { type PresentedClient, presentedClient, refuseClient, secretMatches } from './client-auth.ts'
import { OAuthError } from './errors.ts'
import { signInProgram } from './grant-client-credentials.ts'
import { redeemCode } from './grant-code.ts'
import { refresh } from './grant-refresh.ts'
import { type Parameters, readParameters, refuseFaulty, required } from './parameters.ts'
import { loadProvider, type Provider } from './provider.ts'
import type { TokenAnswer } from './tokens.ts'

export interface TokenRequest {
  parameters: Parameters
  presented: PresentedClient
  provider: Provider
  clientAddress: string
  requestId: string
}

interface GrantType {
  /** false when what the grant itself presents is the proof */
  clientMustAuthenticate: boolean
  run(core: Core, request: TokenRequest): Promise<TokenAnswer>
}

const grantTypes: Record<string, GrantType> = {
  authorization_code: { clientMustAuthenticate: true, run: redeemCode },
  refresh_token: { clientMustAuthenticate: true, run: refresh },
  client_credentials: { clientMustAuthenticate: false, run: signInProgram },
  password: { clientMustAuthenticate: false, run: signInProgram },
}

/** @throws OAuthError with the code for the client (RFC 6749 §5.2) */
export async function answerToken(
  core: Core,
  request: FastifyRequest,
  onClient: (provider: Provider) => void,
): Promise<TokenAnswer> {
  const parameters = formParameters(request)
  const presented = presentedClient(request.headers.authorization, parameters)
  const provider = await loadProvider(core, core.db, { clientId: presented.clientId })
  if (provider === undefined) refuseClient(presented)
  onClient(provider)
  const name = required(parameters, 'grant_type')
  const grant = Object.hasOwn(grantTypes, name) ? grantTypes[name] : undefined
  if (grant?.clientMustAuthenticate ?? presented.secret !== undefined) authenticate(provider, presented)
  if (grant === undefined) throw new OAuthError('unsupported_grant_type', 'This grant_type is not supported.')
  if (!provider.grantTypes.has(name))
    throw new OAuthError('unauthorized_client', 'This client may not use this grant_type.')
  return grant.run(core, {
    parameters,
    presented,
    provider,
    clientAddress: request.client.clientAddress,
    requestId: request.id,
  })
}

/** A public client has no secret; one it sends all the same is not looked at. @throws OAuthError `invalid_client` */
export function authenticate(provider: Provider, presented: PresentedClient): void {
  if (provider.clientType === 'public') return
  if (presented.secret === undefined || !secretMatches(presented.secret, provider.clientSecret))
    refuseClient(presented)
}

/** The form body of a request of a client. @throws OAuthError `invalid_request` for other bodies and for repeated parameters */
export function formParameters(request: FastifyRequest): Parameters {
  const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
  if (type !== 'application/x-www-form-urlencoded')
    throw new OAuthError('invalid_request', 'The body must be of type application/x-www-form-urlencoded.')
  const parameters = readParameters(request.body)
  refuseFaulty(parameters)
  return parameters
}
