// Key pairs Core makes itself: the default TLS and signing certificates, and those an administrator asks for. An X.509 v3
// certificate of one name and five extensions (RFC 5280), written here because the packages that could do it want decorators at
// run time; node:crypto makes the key and the signature.
import { generateKeyPair, hash, randomBytes, sign } from 'node:crypto'
import { isIP } from 'node:net'
import { promisify } from 'node:util'
import { addressBytes } from './address-bytes.ts'
import {
  derBitString,
  derBoolean,
  derExplicit,
  derImplicit,
  derInteger,
  derNull,
  derObjectIdentifier,
  derOctetString,
  derSequence,
  derSet,
  derTime,
  derUtf8String,
} from './der.ts'

export interface SelfSignedRequest {
  /** becomes the subject's CN, and an alternative name if it is a host name or address */
  commonName: string
  /** DNS names and IP addresses */
  alternativeNames: string[]
  days: number
  algorithm: 'rsa' | 'ecdsa'
}

const sha256WithRsa = derSequence(derObjectIdentifier('1.2.840.113549.1.1.11'), derNull())
const ecdsaWithSha256 = derSequence(derObjectIdentifier('1.2.840.10045.4.3.2'))
const digitalSignature = 0b1000_0000
const keyEncipherment = 0b0010_0000

/**
 * A new key pair with a self-signed certificate for server and client use. RSA keys have 4096 bits, EC keys are P-256.
 * @returns PEM texts; the private key is PKCS #8
 */
export async function createSelfSigned(
  request: SelfSignedRequest,
): Promise<{ certificatePem: string; privateKeyPem: string }> {
  const keys = await generateKeys(request.algorithm)
  const signature = request.algorithm === 'rsa' ? sha256WithRsa : ecdsaWithSha256
  const content = certificateContent(request, keys.publicKey, signature)
  const certificate = derSequence(content, signature, derBitString(sign('sha256', content, keys.privateKey)))
  return { certificatePem: pem('CERTIFICATE', certificate), privateKeyPem: keys.privateKey }
}

/** Off the event loop: an RSA key takes up to seconds. */
async function generateKeys(algorithm: 'rsa' | 'ecdsa'): Promise<{ publicKey: Buffer; privateKey: string }> {
  const generate = promisify(generateKeyPair)
  const keys =
    algorithm === 'rsa'
      ? await generate('rsa', { modulusLength: 4096 })
      : await generate('ec', { namedCurve: 'P-256' })
  return {
    publicKey: keys.publicKey.export({ type: 'spki', format: 'der' }),
    privateKey: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

/** TBSCertificate (RFC 5280 §4.1) */
function certificateContent(request: SelfSignedRequest, publicKey: Buffer, signature: Buffer): Buffer {
  const name = derSequence(
    derSet(derSequence(derObjectIdentifier('2.5.4.3'), derUtf8String(request.commonName))),
  )
  const notBefore = new Date()
  const notAfter = new Date(notBefore.getTime() + request.days * 86_400_000)
  const version3 = derExplicit(0, derInteger(Buffer.of(2)))
  return derSequence(
    version3,
    derInteger(randomBytes(16)),
    signature,
    name,
    derSequence(derTime(notBefore), derTime(notAfter)),
    name,
    publicKey,
    derExplicit(3, derSequence(...extensions(request, publicKey))),
  )
}

function extensions(request: SelfSignedRequest, publicKey: Buffer): Buffer[] {
  // RSA key exchange is gone, but clients of TLS 1.2 still look for its bit.
  const usage = request.algorithm === 'rsa' ? digitalSignature | keyEncipherment : digitalSignature
  const serverAndClient = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'].map(derObjectIdentifier)
  const names = alternativeNames(request)
  const list = [
    extension('2.5.29.19', true, derSequence()),
    extension('2.5.29.15', true, derBitString(Buffer.of(usage), usage === digitalSignature ? 7 : 5)),
    extension('2.5.29.37', false, derSequence(...serverAndClient)),
    extension('2.5.29.14', false, derOctetString(hash('sha256', publicKey, 'buffer').subarray(0, 20))),
  ]
  if (names.length > 0) list.push(extension('2.5.29.17', false, derSequence(...names)))
  return list
}

function extension(oid: string, critical: boolean, value: Buffer): Buffer {
  const flag = critical ? [derBoolean(true)] : []
  return derSequence(derObjectIdentifier(oid), ...flag, derOctetString(value))
}

/** GeneralNames: dNSName is [2], iPAddress [7]; what is neither is left out. */
function alternativeNames(request: SelfSignedRequest): Buffer[] {
  const names = [request.commonName, ...request.alternativeNames].map(name => name.trim())
  return [...new Set(names)].flatMap(name => {
    if (isIP(name) !== 0) return [derImplicit(7, addressBytes(name))]
    return isHostName(name) ? [derImplicit(2, Buffer.from(name.toLowerCase(), 'ascii'))] : []
  })
}

/** True for a DNS name, with a leading `*.` if wanted (RFC 6125 §6.4.3). */
export function isHostName(text: string): boolean {
  const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i
  const name = text.startsWith('*.') ? text.slice(2) : text
  return name.length <= 253 && name.split('.').every(part => label.test(part))
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
