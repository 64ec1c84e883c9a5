// The last good configuration, kept on disk for a start while Core is down. Sealed under a key from the outpost's token, so that the
// file is of use only to who may ask Core for the same; bounded in age, because nobody can revoke an application in a file.
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { errorText, type Log } from '../log.ts'
import type { CertificateBundle, OutpostInstance, ProxyProviderConfig } from '../wire/outpost.ts'
import { isRecord } from './claims.ts'
import { toInstance, toProviders } from './core-answers.ts'
import { prepareFolder } from './sessions/session-folder.ts'

export interface KeptConfiguration {
  /** ms since epoch */
  readonly savedAt: number
  readonly instance: OutpostInstance
  /** each in the last version that could be set up */
  readonly providers: readonly ProxyProviderConfig[]
  /** by the uuid of their key pair */
  readonly certificates: ReadonlyMap<string, CertificateBundle>
}

export interface ConfigurationFile {
  /** What was kept, or null when there is nothing, it is too old, or it was not made for this token and this Core. Never rejects. */
  read(): Promise<KeptConfiguration | null>
  /** Replaces what was kept. Never rejects; a folder that cannot be used is reported once. */
  write(configuration: Omit<KeptConfiguration, 'savedAt'>): Promise<void>
}

const maxAgeMs = 24 * 3600_000
/** Unchanged contents are written again after this, for their age. */
const renewMs = 5 * 60_000
const maxSize = 64 * 1024 * 1024
const fileName = 'last-configuration'
const format = 1
const nonceLength = 12
const tagLength = 16

/**
 * @param options.directory folder of our own, made (0700) when missing
 * @param options.token of the outpost; the file opens with no other
 * @param options.coreUrl address of Core; a file from another Core does not open
 */
export function createConfigurationFile(options: {
  directory: string
  token: string
  coreUrl: string
  log: Log
  now?: () => number
}): ConfigurationFile {
  const { directory, log, now = Date.now } = options
  const path = join(directory, fileName)
  const key = Buffer.from(hkdfSync('sha256', options.token, '', 'postern kept configuration', 32))
  const context = Buffer.from(`${format} ${options.coreUrl}`)
  let written = { text: '', at: 0 }
  let reported = false
  let writing: Promise<void> = Promise.resolve()

  async function save(configuration: Omit<KeptConfiguration, 'savedAt'>): Promise<void> {
    const certificates = Object.fromEntries(configuration.certificates)
    const text = JSON.stringify({ ...configuration, certificates })
    const savedAt = now()
    if (text === written.text && savedAt - written.at < renewMs) return
    try {
      await prepareFolder(directory)
      await replaceFile(path, seal(`{"savedAt":${savedAt},"configuration":${text}}`, key, context))
      written = { text, at: savedAt }
    } catch (error) {
      if (!reported)
        log.warning('the configuration cannot be kept for a start without Core', { error: errorText(error) })
      reported = true
    }
  }

  return {
    async read() {
      const bytes = await readOwnFile(path)
      const text = bytes === null ? null : unseal(bytes, key, context)
      const kept = text === null ? null : parse(text)
      if (kept === null || kept.savedAt > now() + 60_000 || now() - kept.savedAt > maxAgeMs) return null
      return kept
    },
    write(configuration) {
      writing = writing.then(() => save(configuration))
      return writing
    },
  }
}

/** Shapes are checked as if Core had answered: another version may have written the file. */
function parse(text: string): KeptConfiguration | null {
  try {
    const value: unknown = JSON.parse(text)
    if (!isRecord(value) || typeof value.savedAt !== 'number' || !isRecord(value.configuration)) return null
    const { instance, providers, certificates } = value.configuration
    if (!Array.isArray(providers) || !isRecord(certificates)) return null
    return {
      savedAt: value.savedAt,
      instance: toInstance(instance, 'instance'),
      providers: toProviders(providers, 'providers', () => {}),
      certificates: new Map(Object.entries(certificates).filter(isCertificate)),
    }
  } catch {
    return null // nothing in it can be relied on: as good as absent
  }
}

function isCertificate(entry: [string, unknown]): entry is [string, CertificateBundle] {
  const [, bundle] = entry
  if (!isRecord(bundle)) return false
  const { fingerprint_sha256, certificate_pem, private_key_pem } = bundle
  return [fingerprint_sha256, certificate_pem, private_key_pem].every(text => typeof text === 'string')
}

/** AES-256-GCM; nonce, ciphertext, tag. */
function seal(text: string, key: Buffer, context: Buffer): Buffer {
  const nonce = randomBytes(nonceLength)
  const sealing = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagLength }).setAAD(context)
  const body = Buffer.concat([sealing.update(text, 'utf8'), sealing.final()])
  return Buffer.concat([nonce, body, sealing.getAuthTag()])
}

function unseal(bytes: Buffer, key: Buffer, context: Buffer): string | null {
  if (bytes.length < nonceLength + tagLength) return null
  try {
    const nonce = bytes.subarray(0, nonceLength)
    const opening = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagLength })
      .setAAD(context)
      .setAuthTag(bytes.subarray(-tagLength))
    const body = bytes.subarray(nonceLength, -tagLength)
    return Buffer.concat([opening.update(body), opening.final()]).toString('utf8')
  } catch {
    return null
  }
}

async function replaceFile(path: string, bytes: Buffer): Promise<void> {
  const temporary = `${path}.new`
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW
  const file = await open(temporary, flags, 0o600)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
}

async function readOwnFile(path: string): Promise<Buffer | null> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      const found = await file.stat()
      return found.isFile() && found.size <= maxSize ? await file.readFile() : null
    } finally {
      await file.close()
    }
  } catch {
    return null
  }
}
