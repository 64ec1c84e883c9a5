// Everything derived from the secret key: sealing of stored secrets, keyed hashes, and the fingerprint that refuses a start with
// another key. One key per purpose, so that a value sealed for one column cannot be moved to another.
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  hash,
  hkdfSync,
  randomBytes,
  randomInt,
} from 'node:crypto'

export type SealPurpose =
  | 'client_secret'
  | 'cookie_secret'
  | 'private_key'
  | 'token_key'
  | 'token_claims'
  | 'kubeconfig'
  | 'flow_plan'
  | 'mail'

export interface Secrets {
  /** AES-256-GCM: version byte, 12 bytes IV, 16 bytes tag, ciphertext. */
  seal(purpose: SealPurpose, text: string): Buffer
  /** @throws Error when the bytes were not sealed for this purpose with this key */
  open(purpose: SealPurpose, sealed: Uint8Array): string
  /** HMAC-SHA256 under a key of its own for `purpose`. */
  mac(purpose: string, data: string | Uint8Array): Buffer
  /** Stored in the database at the first start; another value later means another secret key. */
  readonly fingerprint: Buffer
}

const version = 1

/** @param secretKey AUTHENTIK_SECRET_KEY, at least 32 characters */
export function createSecrets(secretKey: string): Secrets {
  const derived = new Map<string, Buffer>()
  const key = (purpose: string): Buffer => {
    let found = derived.get(purpose)
    if (found === undefined) {
      found = Buffer.from(hkdfSync('sha256', secretKey, 'postern', purpose, 32))
      derived.set(purpose, found)
    }
    return found
  }
  return {
    seal(purpose, text) {
      const iv = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', key(`seal:${purpose}`), iv)
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return Buffer.concat([Buffer.of(version), iv, cipher.getAuthTag(), body])
    },
    open(purpose, sealed) {
      const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength)
      if (bytes.length < 29 || bytes[0] !== version) throw new Error(`not a sealed ${purpose}`)
      const decipher = createDecipheriv('aes-256-gcm', key(`seal:${purpose}`), bytes.subarray(1, 13))
      decipher.setAuthTag(bytes.subarray(13, 29))
      try {
        return Buffer.concat([decipher.update(bytes.subarray(29)), decipher.final()]).toString('utf8')
      } catch (cause) {
        throw new Error(`a stored ${purpose} cannot be opened: was it sealed with another secret key?`, {
          cause,
        })
      }
    },
    mac: (purpose, data) =>
      createHmac('sha256', key(`mac:${purpose}`))
        .update(data)
        .digest(),
    fingerprint: createHmac('sha256', key('fingerprint')).update('secret key').digest(),
  }
}

/** SHA-256, the form in which bearer material (session cookies, token keys, codes) is stored. */
export function sha256(text: string | Uint8Array): Buffer {
  return hash('sha256', text, 'buffer')
}

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/** Random text of `length` letters and digits (5.95 bits each) from the CSPRNG. */
export function randomText(length: number, alphabet = letters): string {
  let text = ''
  for (let i = 0; i < length; i++) text += alphabet[randomInt(alphabet.length)]
  return text
}
