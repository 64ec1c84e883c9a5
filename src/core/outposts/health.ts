// What an outpost's processes said about themselves, beside what this Core would expect.
import type { Static } from 'typebox'
import Type from 'typebox'
import { iso, nullable, Time } from '../api/shapes.ts'
import type { Core } from '../core.ts'
import type { InstanceRow } from './outposts.sql.ts'

export const InstanceHealth = Type.Object({
  uid: Type.String(),
  last_seen: Time,
  version: Type.String(),
  golang_version: Type.String(),
  openssl_enabled: Type.Boolean(),
  openssl_version: Type.String(),
  fips_enabled: nullable(Type.Boolean()),
  version_should: Type.String(),
  version_outdated: Type.Boolean(),
  build_hash: Type.String(),
  build_hash_should: Type.String(),
  hostname: Type.String(),
})

export function instanceHealth(
  core: Pick<Core, 'version' | 'buildHash'>,
  { instance_id, hello, last_seen_at }: InstanceRow,
): Static<typeof InstanceHealth> {
  const text = (key: string): string => (typeof hello[key] === 'string' ? hello[key] : '')
  const version = text('version')
  const buildHash = text('buildHash')
  return {
    uid: instance_id,
    last_seen: iso(last_seen_at),
    version,
    golang_version: text('golangVersion'),
    openssl_enabled: hello.opensslEnabled === true,
    openssl_version: text('opensslVersion'),
    fips_enabled: null,
    version_should: core.version,
    // Two builds of one version are told apart by their hashes, which are both shown.
    version_outdated: version !== '' && buildHash === core.buildHash && version !== core.version,
    build_hash: buildHash,
    build_hash_should: core.buildHash,
    hostname: text('hostname'),
  }
}
