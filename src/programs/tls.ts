// The certificate of a TLS listener for names nobody has a certificate for.
import { createSelfSigned } from '../core/crypto/self-signed.ts'

/** A self-signed one, made for this run of a standalone outpost. */
export async function defaultCertificate(): Promise<{ key: string; cert: string }> {
  const pair = await createSelfSigned({
    commonName: 'Postern outpost',
    alternativeNames: ['localhost'],
    days: 365,
    algorithm: 'ecdsa',
  })
  return { key: pair.privateKeyPem, cert: pair.certificatePem }
}
