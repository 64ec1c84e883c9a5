// TLS certificates of applications, by the uuid of their key pair: fetched when the fingerprint changed, kept when Core cannot be asked.
import { createSecureContext, type SecureContext } from 'node:tls'
import { errorText, type Log } from '../log.ts'
import type { OutpostLink } from '../wire/link.ts'

export interface Certificates {
  /** The current context. @throws Error when it was never there and cannot be had now */
  load(uuid: string): Promise<SecureContext>
}

export function createCertificates(options: { link: OutpostLink; log: Log }): Certificates {
  const { link, log } = options
  const known = new Map<string, { fingerprint: string; context: SecureContext }>()
  return {
    async load(uuid) {
      const last = known.get(uuid)
      try {
        const bundle = await link.certificate(uuid, last?.fingerprint)
        if (bundle === null && last !== undefined) return last.context
        if (bundle === null) throw new Error('Core sent no certificate')
        const { certificate_pem: cert, private_key_pem: key, fingerprint_sha256: fingerprint } = bundle
        const context = createSecureContext({ cert, key, minVersion: 'TLSv1.2' })
        known.set(uuid, { fingerprint, context })
        return context
      } catch (error) {
        if (last === undefined) throw new Error(`certificate ${uuid}: ${errorText(error)}`, { cause: error })
        log.warning('certificate could not be refreshed, the last one stays', {
          uuid,
          error: errorText(error),
        })
        return last.context
      }
    },
  }
}
