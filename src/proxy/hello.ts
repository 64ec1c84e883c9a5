// What an instance says about itself on connect and every ten seconds.
import { getFips } from 'node:crypto'
import { hostname } from 'node:os'
import type { HelloArgs } from '../wire/frames.ts'

/** The arguments of HELLO; `golangVersion` names the runtime, which older Cores show. */
export function helloArgs(about: {
  version: string
  build?: string
  instanceId: string
  revision: number
  lastRevocation: number
}): HelloArgs {
  return {
    version: about.version,
    buildHash: about.build ?? '',
    uuid: about.instanceId,
    golangVersion: `node ${process.versions.node}`,
    opensslEnabled: true,
    opensslVersion: process.versions.openssl ?? '',
    fipsEnabled: getFips() === 1,
    hostname: hostname(),
    features: ['session_end.receipts'],
    revision: about.revision,
    last_revocation: about.lastRevocation,
  }
}
