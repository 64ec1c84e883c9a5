// Verifying the tokens Core issues. The algorithm comes from the provider's configuration, never from the token: HS256 with the client
// secret, or else signatures checked with Core's published keys (RFC 8725 §3.1).
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTPayload, jwtVerify } from 'jose'
import { isRecord } from './claims.ts'

/** Fetches the key set of a provider. */
export type JwksSource = () => Promise<JSONWebKeySet>

export interface TokenVerifier {
  /**
   * Signature, issuer, audience and times of a token.
   * @param nonce when given, the token must carry it
   * @throws Error saying which of them is wrong
   */
  verify(token: string, nonce?: string): Promise<JWTPayload>
}

const keysLiveMs = 10 * 60_000
/** An unknown key id asks for the keys again, but not more often than this. */
const refetchAfterMs = 10_000
/** seconds; for `nbf` only, an expired token is expired */
const notBeforeLeeway = 300

export function createTokenVerifier(options: {
  clientId: string
  clientSecret: string
  issuer: string
  /** as the provider announces them */
  algorithms: readonly string[]
  jwks: JwksSource
  now?: () => number
}): TokenVerifier {
  const now = options.now ?? Date.now
  const secret = new TextEncoder().encode(options.clientSecret)
  const symmetric = options.algorithms.includes('HS256')
  const accepted = symmetric
    ? ['HS256']
    : options.algorithms.filter(alg => alg === 'RS256' || alg === 'ES256')
  let keys: { set: ReturnType<typeof createLocalJWKSet>; at: number } | null = null
  let loading: Promise<ReturnType<typeof createLocalJWKSet>> | null = null

  return {
    async verify(token, nonce) {
      if (accepted.length === 0) throw new Error('the provider announces no algorithm this outpost accepts')
      const payload = symmetric ? await check(token, secret) : await checkPublished(token)
      if (typeof payload.exp !== 'number' || payload.exp * 1000 <= now())
        throw new Error('the token has expired')
      if (nonce !== undefined && payload.nonce !== nonce) throw new Error('the nonce does not match')
      return payload
    },
  }

  async function checkPublished(token: string): Promise<JWTPayload> {
    try {
      return await check(token, await keySet(keysLiveMs))
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
      return check(token, await keySet(refetchAfterMs))
    }
  }

  async function check(token: string, key: Uint8Array | ReturnType<typeof createLocalJWKSet>) {
    const rules = {
      algorithms: accepted,
      issuer: options.issuer,
      audience: options.clientId,
      requiredClaims: ['exp', 'sub'],
      clockTolerance: notBeforeLeeway,
      currentDate: new Date(now()),
    }
    const { payload } =
      key instanceof Uint8Array ? await jwtVerify(token, key, rules) : await jwtVerify(token, key, rules)
    return payload
  }

  async function keySet(maxAgeMs: number): Promise<ReturnType<typeof createLocalJWKSet>> {
    if (keys !== null && now() - keys.at < maxAgeMs) return keys.set
    loading ??= options
      .jwks()
      .then(json => {
        keys = { set: createLocalJWKSet(json), at: now() }
        return keys.set
      })
      .finally(() => {
        loading = null
      })
    return loading
  }
}

/** @throws Error when an answer of the key endpoint is no key set */
export function readKeySet(status: number, body: unknown): JSONWebKeySet {
  if (status !== 200 || !isRecord(body) || !Array.isArray(body.keys))
    throw new Error(`the key endpoint answered ${status} without a key set`)
  return { keys: body.keys.filter(isRecord) } as JSONWebKeySet
}
