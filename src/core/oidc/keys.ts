// Signing keys: which algorithm a provider signs with, signing, checking what we signed, and the public side as JWKS (RFC 7517).
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { compactVerify, type JWTPayload, SignJWT } from 'jose'
import type { Core } from '../core.ts'
import { sha256 } from '../secrets.ts'
import { OAuthError } from './errors.ts'
import type { Provider, SigningKeyPair } from './provider.ts'

type Keyed = Pick<Provider, 'signingKey' | 'clientSecret' | 'encrypted'>

/** Algorithm of everything a provider signs; undefined when its certificate holds a key no algorithm is known for. */
export function algorithmOf(signingKey: SigningKeyPair | null): string | undefined {
  if (signingKey === null) return 'HS256'
  return certificateOf(signingKey)?.algorithm
}

/**
 * Signs a compact JWT.
 * @throws OAuthError `server_error` when the provider's key cannot be used; never another key instead
 */
export async function signJwt(
  core: Pick<Core, 'secrets'>,
  provider: Keyed,
  claims: JWTPayload,
): Promise<string> {
  if (provider.encrypted)
    throw new OAuthError(
      'server_error',
      'Encrypted tokens are not available: remove the encryption key of the provider.',
    )
  const { signingKey } = provider
  if (signingKey === null)
    return new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .sign(Buffer.from(provider.clientSecret))
  const alg = algorithmOf(signingKey)
  if (alg === undefined || signingKey.privateKeySealed === null)
    throw new OAuthError('server_error', 'The signing key of the provider has no usable private key.')
  const key = privateKeyOf(core, signingKey.privateKeySealed)
  return new SignJWT(claims).setProtectedHeader({ alg, typ: 'JWT', kid: kidOf(signingKey) }).sign(key)
}

/** Payload of a JWT this provider signed, expired or not; undefined for anything else. */
export async function verifyOwnJwt(provider: Keyed, jwt: string): Promise<JWTPayload | undefined> {
  const alg = algorithmOf(provider.signingKey)
  const key =
    provider.signingKey === null
      ? Buffer.from(provider.clientSecret)
      : certificateOf(provider.signingKey)?.certificate.publicKey
  if (alg === undefined || key === undefined) return undefined
  try {
    const { payload } = await compactVerify(jwt, key, { algorithms: [alg] })
    const claims: unknown = JSON.parse(Buffer.from(payload).toString('utf8'))
    return claims !== null && typeof claims === 'object' && !Array.isArray(claims)
      ? (claims as JWTPayload)
      : undefined
  } catch {
    return undefined
  }
}

/** JWKS of a provider: its public key with certificate, or no key at all when it signs with its secret. */
export function publicJwks(signingKey: SigningKeyPair | null): { keys: object[] } {
  const found = signingKey === null ? undefined : certificateOf(signingKey)
  if (signingKey === null || found?.algorithm === undefined) return { keys: [] }
  const { certificate, algorithm } = found
  const thumbprint = (hex: string) => Buffer.from(hex.replaceAll(':', ''), 'hex').toString('base64url')
  return {
    keys: [
      {
        ...certificate.publicKey.export({ format: 'jwk' }),
        use: 'sig',
        alg: algorithm,
        kid: kidOf(signingKey),
        x5c: [certificate.raw.toString('base64')],
        x5t: thumbprint(certificate.fingerprint),
        'x5t#S256': thumbprint(certificate.fingerprint256),
      },
    ],
  }
}

function kidOf(signingKey: SigningKeyPair): string {
  return signingKey.fingerprint.replaceAll(':', '').toLowerCase()
}

interface ReadCertificate {
  certificate: X509Certificate
  algorithm: string | undefined
}

/** Reading a certificate or a private key costs more than a signature; both are known by their own content, so a kept one is never stale. */
const certificates = new Map<string, ReadCertificate | undefined>()
const privateKeys = new Map<string, KeyObject>()
const kept = 100

function certificateOf({ certificatePem }: SigningKeyPair): ReadCertificate | undefined {
  const id = sha256(certificatePem).toString('hex')
  if (certificates.has(id)) return certificates.get(id)
  let read: ReadCertificate | undefined
  try {
    const certificate = new X509Certificate(certificatePem)
    read = { certificate, algorithm: algorithmOfKey(certificate.publicKey) }
  } catch {
    read = undefined
  }
  if (certificates.size >= kept) certificates.clear()
  certificates.set(id, read)
  return read
}

function algorithmOfKey(key: KeyObject): string | undefined {
  if (key.asymmetricKeyType === 'rsa') return 'RS256'
  if (key.asymmetricKeyType === 'ed25519') return 'EdDSA'
  const curves: Record<string, string> = { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' }
  return key.asymmetricKeyType === 'ec' ? curves[key.asymmetricKeyDetails?.namedCurve ?? ''] : undefined
}

function privateKeyOf(core: Pick<Core, 'secrets'>, sealed: Buffer): KeyObject {
  const id = sha256(sealed).toString('hex')
  let key = privateKeys.get(id)
  if (key === undefined) {
    try {
      key = createPrivateKey(core.secrets.open('private_key', sealed))
    } catch (cause) {
      throw new OAuthError('server_error', 'The signing key of the provider cannot be read.', { cause })
    }
    if (privateKeys.size >= kept) privateKeys.clear()
    privateKeys.set(id, key)
  }
  return key
}
