// A self-signed certificate for `localhost`, made for one test.
import { X509Certificate } from 'node:crypto'
import { createSelfSigned } from '../../src/core/crypto/self-signed.ts'

/** @returns certificate and key as PEM, and the SHA-256 fingerprint as Core writes it */
export async function selfSigned(): Promise<{ certificate: string; key: string; fingerprint: string }> {
  const made = await createSelfSigned({
    commonName: 'localhost',
    alternativeNames: ['localhost'],
    days: 1,
    algorithm: 'ecdsa',
  })
  const fingerprint = new X509Certificate(made.certificatePem).fingerprint256.toLowerCase()
  return { certificate: made.certificatePem, key: made.privateKeyPem, fingerprint }
}
