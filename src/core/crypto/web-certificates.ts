// Certificates of Core's TLS listener: the brand's by name, the default brand's for everybody else. Read again when the outposts'
// configuration changes (certificates and brands are part of it) and at every resync of the bus, so that a renewed one serves
// without a restart.
import { createSecureContext, type SecureContext } from 'node:tls'
import type { Core } from '../core.ts'
import { outpostUpdateMessage } from '../outposts/changed.ts'
import { findWebCertificates } from './web-certificates.sql.ts'

export interface WebCertificates {
  /** Context for a name: the longest brand domain it equals or lies under, else the default brand's; undefined without any. */
  find(servername: string): SecureContext | undefined
  close(): void
}

interface Known {
  domain: string
  isDefault: boolean
  fingerprint: string
  context: SecureContext
}

export async function createWebCertificates(core: Core): Promise<WebCertificates> {
  let known: Known[] = []
  const read = async (): Promise<void> => {
    const rows = await findWebCertificates(core.db)
    known = rows
      .map(row => {
        const same = known.find(one => one.domain === row.domain && one.fingerprint === row.fingerprint)
        const context =
          same?.context ??
          createSecureContext({
            cert: row.certificate_pem,
            key: core.secrets.open('private_key', row.private_key_sealed),
            minVersion: 'TLSv1.2',
          })
        return {
          domain: row.domain.toLowerCase(),
          isDefault: row.is_default,
          fingerprint: row.fingerprint,
          context,
        }
      })
      .sort((a, b) => b.domain.length - a.domain.length)
  }
  const readQuietly = () =>
    read().catch(error =>
      core.log.warning('cannot read the web certificates, the last ones serve on', { error }),
    )
  await read()
  const leaveResync = core.bus.onResync(readQuietly)
  const leaveUpdates = core.bus.subscribe(outpostUpdateMessage, () => void readQuietly())
  return {
    find(servername) {
      const name = servername.toLowerCase()
      const own = known.find(
        ({ domain, isDefault }) => !isDefault && (name === domain || name.endsWith(`.${domain}`)),
      )
      return (own ?? known.find(one => one.isDefault))?.context
    },
    close() {
      leaveResync()
      leaveUpdates()
    },
  }
}
