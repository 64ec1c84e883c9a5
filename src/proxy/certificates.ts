// TLS certificates of applications, by the uuid of their key pair: fetched when the fingerprint changed, kept when Core cannot be asked.
import { createSecureContext, type SecureContext } from 'node:tls'
import { errorText, type Log } from '../log.ts'
import type { OutpostLink } from '../wire/link.ts'
import type { CertificateBundle } from '../wire/outpost.ts'

export interface Certificates {
  /** The current context. @throws Error when it was never there and cannot be had now */
  load(uuid: string): Promise<SecureContext>
  /** Those of the given key pairs that are known, to be kept for a later start. */
  bundles(uuids: Iterable<string>): Map<string, CertificateBundle>
}

/** @param options.kept from an earlier start; used until Core has answered */
export function createCertificates(options: {
  link: OutpostLink
  log: Log
  kept?: ReadonlyMap<string, CertificateBundle>
}): Certificates {
  const { link, log, kept } = options
  const known = new Map<string, { bundle: CertificateBundle; context: SecureContext }>()

  function take(uuid: string, bundle: CertificateBundle): SecureContext {
    const { certificate_pem: cert, private_key_pem: key } = bundle
    const context = createSecureContext({ cert, key, minVersion: 'TLSv1.2' })
    known.set(uuid, { bundle, context })
    return context
  }

  return {
    async load(uuid) {
      const last = known.get(uuid)
      try {
        const bundle = await link.certificate(uuid, last?.bundle.fingerprint_sha256)
        if (bundle === null && last !== undefined) return last.context
        if (bundle === null) throw new Error('Core sent no certificate')
        return take(uuid, bundle)
      } catch (error) {
        const earlier = kept?.get(uuid)
        if (last === undefined && earlier === undefined)
          throw new Error(`certificate ${uuid}: ${errorText(error)}`, { cause: error })
        log.warning('certificate could not be refreshed, the last one stays', {
          uuid,
          error: errorText(error),
        })
        return last?.context ?? take(uuid, earlier!)
      }
    },
    bundles(uuids) {
      const found = new Map<string, CertificateBundle>()
      for (const uuid of uuids) {
        const bundle = known.get(uuid)?.bundle
        if (bundle !== undefined) found.set(uuid, bundle)
      }
      return found
    },
  }
}
