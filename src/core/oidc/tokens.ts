// Issuing: one grant becomes an access token (a JWT that is stored by its hash as well, so that it can be asked about and ended), an ID
// token when OpenID Connect was asked for, and a refresh token when access without the user was granted.
import { hash, randomUUID } from 'node:crypto'
import type { Queryable } from '../../pg/db.ts'
import type { Core } from '../core.ts'
import { randomText, sha256 } from '../secrets.ts'
import { sidOf } from '../sessions/cookie.ts'
import type { Principal } from '../sessions/principal.ts'
import { claimsOf, subOf } from './claims.ts'
import { algorithmOf, signJwt } from './keys.ts'
import type { Provider } from './provider.ts'
import { insertTokens, type NewRefreshToken } from './tokens.sql.ts'
import { issuerOf } from './urls.ts'

/** The only authentication context class we state. */
export const defaultAcr = 'goauthentik.io/providers/oauth2/default'

export interface Grant {
  /** family: what is revoked together */
  id: string
  principal: Principal
  groupAttributes: Record<string, unknown>[]
  sessionId: string | null
  authAt: Date
  amr: string[]
  nonce: string | null
  /** of this access token */
  scopes: string[]
}

export interface RefreshChoice {
  /** scopes of the whole grant */
  scopes: string[]
  /** id of the refresh token that ends with this; null for the first */
  replacedId: string | null
}

/** Body of a successful token answer (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3). */
export interface TokenAnswer {
  access_token: string
  token_type: 'Bearer'
  expires_in: number
  scope: string
  id_token?: string
  refresh_token?: string
}

/**
 * Signs and stores the tokens of a grant, in one statement.
 * @param refresh null = no refresh token
 * @throws OAuthError `server_error` when the provider's key cannot sign
 */
export async function issueTokens(
  core: Core,
  db: Queryable,
  provider: Provider,
  grant: Grant,
  refresh: RefreshChoice | null,
): Promise<TokenAnswer> {
  const issuedAt = Math.floor(core.now().getTime() / 1000)
  const expiresIn = Math.max(1, Math.floor(provider.accessTokenLifeMs / 1000))
  const expiresAt = issuedAt + expiresIn
  const protocol = protocolClaims(core, provider, grant, issuedAt, expiresAt)
  const mapped = mappedClaims(core, provider, grant)
  const access = { ...protocol, ...accessClaims(provider, grant) }
  const visible = provider.claimsInIdToken ? mapped : {}
  const accessToken = await signJwt(core, provider, { ...visible, ...access })
  const answer: TokenAnswer = {
    access_token: accessToken,
    token_type: 'Bearer',
    expires_in: expiresIn,
    scope: grant.scopes.join(' '),
  }
  if (grant.scopes.includes('openid'))
    answer.id_token = await signJwt(core, provider, {
      ...visible,
      ...protocol,
      ...(grant.nonce === null ? {} : { nonce: grant.nonce }),
      at_hash: halfHash(accessToken, algorithmOf(provider.signingKey) ?? 'RS256'),
    })
  let refreshRow: NewRefreshToken | null = null
  if (refresh !== null) {
    answer.refresh_token = randomText(128)
    refreshRow = {
      tokenHash: sha256(answer.refresh_token),
      scopes: refresh.scopes,
      amr: grant.amr,
      nonce: grant.nonce,
      expiresAt: new Date(issuedAt * 1000 + provider.refreshTokenLifeMs),
    }
  }
  await insertTokens(
    db,
    {
      tokenHash: sha256(accessToken),
      providerId: provider.id,
      userId: grant.principal.user.id,
      sessionId: grant.sessionId,
      grantId: grant.id,
      scopes: grant.scopes,
      claimsSealed: core.secrets.seal('token_claims', JSON.stringify({ ...mapped, ...access })),
      authAt: grant.authAt,
      expiresAt: new Date(expiresAt * 1000),
    },
    refreshRow,
    refresh?.replacedId ?? null,
  )
  return answer
}

/** Claims of the granted scopes; a mapping we cannot evaluate is left out and said in the log. */
export function mappedClaims(
  core: Pick<Core, 'log'>,
  provider: Provider,
  grant: Pick<Grant, 'principal' | 'groupAttributes' | 'scopes'>,
): Record<string, unknown> {
  return claimsOf(grant, grant.scopes, provider.mappings, mapping =>
    core.log.warning('scope mapping cannot be evaluated, its claims are left out', {
      mapping: mapping.name,
      provider: provider.name,
    }),
  )
}

/** What every token says; written over the mapped claims, so that no mapping can change it. */
function protocolClaims(core: Core, provider: Provider, grant: Grant, issuedAt: number, expiresAt: number) {
  return {
    iss: issuerOf(core.baseUrl, provider.application.slug, provider.issuerMode),
    sub: subOf(provider.subMode, grant.principal),
    aud: provider.clientId,
    exp: expiresAt,
    iat: issuedAt,
    auth_time: Math.floor(grant.authAt.getTime() / 1000),
    acr: defaultAcr,
    amr: grant.amr,
    ...(grant.sessionId === null ? {} : { sid: sidOf(grant.sessionId) }),
  }
}

function accessClaims(provider: Provider, grant: Grant) {
  return {
    azp: provider.clientId,
    client_id: provider.clientId,
    uid: randomText(40),
    scope: grant.scopes.join(' '),
    jti: randomUUID(),
  }
}

/** `at_hash`: left half of the hash that belongs to the signature algorithm (OpenID Connect Core §3.1.3.6). */
function halfHash(token: string, algorithm: string): string {
  const digest =
    algorithm === 'EdDSA' || algorithm.endsWith('512')
      ? 'sha512'
      : algorithm.endsWith('384')
        ? 'sha384'
        : 'sha256'
  const bytes = hash(digest, token, 'buffer')
  return bytes.subarray(0, bytes.length / 2).toString('base64url')
}
