// A certificate authority of our own for TLS tests, made by the openssl program.
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Authority {
  /** Path of the root certificate. */
  root: string
  /** @param names subject alternative names, e.g. `DNS:localhost`. @returns paths */
  issue(commonName: string, names: string): { cert: string; key: string }
}

/** Creates a root in `folder`. */
export function createAuthority(folder: string, name: string): Authority {
  const at = (file: string) => join(folder, `${name}-${file}`)
  const openssl = (...args: string[]) =>
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const newKey = (file: string) =>
    openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', file)
  newKey(at('root.key'))
  openssl(
    'req',
    '-x509',
    '-new',
    '-key',
    at('root.key'),
    '-subj',
    `/CN=${name}`,
    '-days',
    '30',
    '-out',
    at('root.pem'),
  )
  return {
    root: at('root.pem'),
    issue(commonName, names) {
      const file = commonName.replaceAll(/\W/g, '-')
      const [key, request, cert, extensions] = ['key', 'csr', 'pem', 'ext'].map(end =>
        at(`${file}.${end}`),
      ) as [string, string, string, string]
      newKey(key)
      openssl('req', '-new', '-key', key, '-subj', `/CN=${commonName}`, '-out', request)
      writeFileSync(extensions, `subjectAltName=${names}\n`)
      const signing = ['-CA', at('root.pem'), '-CAkey', at('root.key'), '-CAcreateserial', '-days', '30']
      openssl('x509', '-req', '-in', request, ...signing, '-extfile', extensions, '-out', cert)
      return { cert, key }
    },
  }
}
