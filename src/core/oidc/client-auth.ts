// Which client calls, and has it proved so (RFC 6749 §2.3): the Authorization header or the body, never both.
import { timingSafeEqual } from 'node:crypto'
import { sha256 } from '../secrets.ts'
import { OAuthError } from './errors.ts'
import type { Parameters } from './parameters.ts'

export interface PresentedClient {
  clientId: string
  secret: string | undefined
  basic: boolean
}

/**
 * Reads the client's credentials.
 * @throws OAuthError `invalid_request` when they come in two ways or contradict each other, `invalid_client` when there are none
 */
export function presentedClient(authorization: string | undefined, body: Parameters): PresentedClient {
  const basic = authorization === undefined ? undefined : basicCredentials(authorization)
  const named = body.get('client_id')
  if (basic === undefined) {
    if (named === undefined) throw new OAuthError('invalid_client', 'No client credentials were sent.')
    if (body.get('client_assertion') !== undefined)
      throw new OAuthError('invalid_client', 'Client assertions are not supported.')
    return { clientId: named, secret: body.get('client_secret'), basic: false }
  }
  if (body.get('client_secret') !== undefined || body.get('client_assertion') !== undefined)
    throw new OAuthError('invalid_request', 'Client credentials were sent in more than one way.')
  if (named !== undefined && named !== basic.clientId)
    throw new OAuthError(
      'invalid_request',
      'The client_id of the body is not the one of the Authorization header.',
    )
  return basic
}

/** @throws OAuthError `invalid_client` with a challenge when the client used the Authorization header (RFC 6749 §5.2) */
export function refuseClient(presented: PresentedClient): never {
  throw new OAuthError('invalid_client', 'Client authentication failed.', {
    headers: presented.basic ? { 'WWW-Authenticate': 'Basic realm="postern"' } : {},
  })
}

/** Compares in a time that says nothing about either text. */
export function secretMatches(presented: string, secret: string): boolean {
  return timingSafeEqual(sha256(presented), sha256(secret))
}

function basicCredentials(authorization: string): PresentedClient | undefined {
  const match = /^Basic +([A-Za-z0-9+/=_-]+)$/i.exec(authorization.trim())
  if (match === null) return undefined
  const text = Buffer.from(match[1]!, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  const clientId = formDecoded(colon === -1 ? text : text.slice(0, colon))
  const secret = formDecoded(colon === -1 ? '' : text.slice(colon + 1))
  if (clientId === undefined || secret === undefined || clientId === '')
    throw new OAuthError('invalid_request', 'The Authorization header is malformed.')
  return { clientId, secret: secret === '' ? undefined : secret, basic: true }
}

/** Names and secrets are form-encoded before they are put into the header (RFC 6749 §2.3.1). */
function formDecoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}
