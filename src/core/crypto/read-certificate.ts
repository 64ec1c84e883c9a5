// What we want to know of a certificate somebody gives us; refuses what is none.
import { createPrivateKey, X509Certificate } from 'node:crypto'

export type KeyType = 'rsa' | 'ec' | 'dsa' | 'ed25519' | 'ed448'

export interface CertificateFacts {
  /** lower-case hex pairs joined by `:` */
  fingerprintSha256: string
  fingerprintSha1: string
  /** RFC 4514, e.g. `CN=a,O=b` */
  subject: string
  keyType: KeyType
  notAfter: Date
}

const keyTypes: Record<string, KeyType> = {
  rsa: 'rsa',
  'rsa-pss': 'rsa',
  ec: 'ec',
  dsa: 'dsa',
  ed25519: 'ed25519',
  ed448: 'ed448',
}

/**
 * Facts of the first certificate in a PEM text (a chain may follow).
 * @throws Error with a sentence for the person who pasted it
 */
export function readCertificate(pem: string): CertificateFacts {
  const certificate = parseCertificate(pem)
  const keyType = keyTypes[certificate.publicKey.asymmetricKeyType ?? '']
  if (keyType === undefined) throw new Error('The type of the key in this certificate is not supported.')
  return {
    fingerprintSha256: certificate.fingerprint256.toLowerCase(),
    fingerprintSha1: certificate.fingerprint.toLowerCase(),
    subject: (certificate.subject ?? '').split('\n').reverse().join(','),
    keyType,
    notAfter: new Date(certificate.validTo),
  }
}

/**
 * Checks that a PEM private key without passphrase belongs to the first certificate of a PEM text.
 * @throws Error with a sentence for the person who pasted it
 */
export function requireMatchingKey(certificatePem: string, privateKeyPem: string): void {
  const certificate = parseCertificate(certificatePem)
  let key: ReturnType<typeof createPrivateKey>
  try {
    key = createPrivateKey(privateKeyPem)
  } catch {
    throw new Error('This is not a private key in PEM form without a passphrase.')
  }
  if (!certificate.checkPrivateKey(key))
    throw new Error('This private key does not belong to the certificate.')
}

function parseCertificate(pem: string): X509Certificate {
  if (!pem.includes('-----BEGIN CERTIFICATE-----')) throw new Error('This is not a certificate in PEM form.')
  try {
    return new X509Certificate(pem)
  } catch {
    throw new Error('This certificate cannot be read.')
  }
}
