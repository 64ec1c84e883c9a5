// Reading an authorization request: first whether its redirect URI may be trusted with an answer, then a list of checks in order.
import type { Core } from '../core.ts'
import { grantedScopes } from './claims.ts'
import { OAuthError } from './errors.ts'
import { type Parameters, refuseFaulty, words } from './parameters.ts'
import { isChallenge } from './pkce.ts'
import { loadProvider, type Provider } from './provider.ts'
import { isRegisteredUri } from './redirect-uri.ts'

/** Where the answer goes. */
export interface AnswerTarget {
  provider: Provider
  redirectUri: string
  /** as the client sent it, echoed unchanged */
  state: string | undefined
  responseMode: 'query' | 'fragment'
}

export interface AuthorizeRequest extends AnswerTarget {
  parameters: Parameters
  /** what is granted of what was asked */
  scopes: string[]
  prompt: ReadonlySet<string>
  maxAgeSeconds: number | undefined
  nonce: string | undefined
  codeChallenge: string | undefined
}

/** A request that no redirect URI may be told about: shown on a page of ours. */
export interface UntrustedRequest {
  code: 'invalid_request' | 'invalid_client' | 'redirect_uri_mismatch'
  /** for the user and the developer; without a word of the request */
  sentence: string
  provider?: Provider
}

/** Client and redirect URI, or why nothing may be sent anywhere. */
export async function answerTarget(
  core: Core,
  parameters: Parameters,
): Promise<{ target: AnswerTarget } | { untrusted: UntrustedRequest }> {
  const clientId = parameters.get('client_id')
  const redirectUri = parameters.get('redirect_uri')
  if (parameters.faulty === 'client_id' || parameters.faulty === 'redirect_uri')
    return untrusted('invalid_request', 'The application sent a parameter twice, or one that cannot be read.')
  if (clientId === undefined) return untrusted('invalid_client', 'The application did not say who it is.')
  const provider = await loadProvider(core, core.db, { clientId })
  if (provider === undefined)
    return untrusted('invalid_client', 'No application is known here under this client ID.')
  if (redirectUri === undefined)
    return untrusted('redirect_uri_mismatch', 'The application did not say where to return to.', provider)
  const allowed = isRegisteredUri(redirectUri, provider.redirectUris, {
    type: 'authorization',
    publicClient: provider.clientType === 'public',
  })
  if (!allowed)
    return untrusted(
      'redirect_uri_mismatch',
      'The application asked to return to an address that is not registered for it.',
      provider,
    )
  const responseMode = parameters.get('response_mode') === 'fragment' ? 'fragment' : 'query'
  return { target: { provider, redirectUri, state: parameters.get('state'), responseMode } }
}

function untrusted(
  code: UntrustedRequest['code'],
  sentence: string,
  provider?: Provider,
): { untrusted: UntrustedRequest } {
  return { untrusted: { code, sentence, provider } }
}

type Check = (parameters: Parameters, provider: Provider) => void

/** In this order: the first that fails is what the client is told. */
const checks: Check[] = [
  refuseFaulty,
  checkResponseType,
  checkResponseMode,
  checkGrant,
  refuseRequestObjects,
  checkScope,
  checkPkce,
  checkPrompt,
  checkMaxAge,
]

/** @throws OAuthError for the client (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6) */
export function checkRequest(target: AnswerTarget, parameters: Parameters): AuthorizeRequest {
  for (const check of checks) check(parameters, target.provider)
  const maxAge = parameters.get('max_age')
  return {
    ...target,
    parameters,
    scopes: scopesOf(parameters, target.provider),
    prompt: new Set(words(parameters.get('prompt'))),
    maxAgeSeconds: maxAge === undefined ? undefined : Number(maxAge),
    nonce: parameters.get('nonce'),
    codeChallenge: parameters.get('code_challenge'),
  }
}

function checkResponseType(parameters: Parameters): void {
  const type = parameters.get('response_type')
  if (type === undefined)
    throw new OAuthError('invalid_request', 'Missing required parameter "response_type".')
  if (type !== 'code')
    throw new OAuthError('unsupported_response_type', 'Only response_type=code is supported.')
}

function checkResponseMode(parameters: Parameters): void {
  const mode = parameters.get('response_mode')
  if (mode !== undefined && mode !== 'query' && mode !== 'fragment')
    throw new OAuthError(
      'unsupported_response_mode',
      'Only the response modes query and fragment are supported.',
    )
}

function checkGrant(_parameters: Parameters, provider: Provider): void {
  if (!provider.grantTypes.has('authorization_code'))
    throw new OAuthError('unauthorized_client', 'This client may not use the authorization code grant.')
}

function refuseRequestObjects(parameters: Parameters): void {
  if (parameters.get('request') !== undefined)
    throw new OAuthError('request_not_supported', 'Request objects are not supported.')
  if (parameters.get('request_uri') !== undefined)
    throw new OAuthError('request_uri_not_supported', 'Request objects are not supported.')
  if (parameters.get('registration') !== undefined)
    throw new OAuthError('registration_not_supported', 'Registration by request is not supported.')
}

function scopesOf(parameters: Parameters, provider: Provider): string[] {
  const scopes = grantedScopes(words(parameters.get('scope')), provider.mappings)
  return provider.grantTypes.has('refresh_token')
    ? scopes
    : scopes.filter(scope => scope !== 'offline_access')
}

function checkScope(parameters: Parameters, provider: Provider): void {
  if (scopesOf(parameters, provider).length === 0)
    throw new OAuthError('invalid_scope', 'None of the requested scopes is available to this client.')
}

function checkPkce(parameters: Parameters, provider: Provider): void {
  const challenge = parameters.get('code_challenge')
  const method = parameters.get('code_challenge_method')
  if (challenge === undefined) {
    if (method !== undefined)
      throw new OAuthError('invalid_request', 'code_challenge_method was sent without code_challenge.')
    if (provider.requirePkce)
      throw new OAuthError('invalid_request', 'This client must send a code_challenge.')
    return
  }
  if (method !== 'S256') throw new OAuthError('invalid_request', 'code_challenge_method must be S256.')
  if (!isChallenge(challenge)) throw new OAuthError('invalid_request', 'code_challenge is malformed.')
}

const prompts = new Set(['none', 'login', 'consent', 'select_account'])

function checkPrompt(parameters: Parameters): void {
  const prompt = words(parameters.get('prompt'))
  if (prompt.some(value => !prompts.has(value)))
    throw new OAuthError('invalid_request', 'prompt has an unknown value.')
  if (prompt.includes('none') && prompt.length > 1)
    throw new OAuthError('invalid_request', 'prompt=none cannot be combined with other values.')
}

function checkMaxAge(parameters: Parameters): void {
  const maxAge = parameters.get('max_age')
  if (maxAge !== undefined && !/^\d{1,9}$/.test(maxAge))
    throw new OAuthError('invalid_request', 'max_age must be a number of seconds.')
}
