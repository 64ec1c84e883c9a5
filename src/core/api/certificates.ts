import type { Static } from 'typebox'
import Type from 'typebox'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { type CertificateFacts, readCertificate, requireMatchingKey } from '../crypto/read-certificate.ts'
import { invalid } from '../errors.ts'
import { outpostsChanged } from '../outposts/changed.ts'
import type { WriteContext } from './audit.ts'
import type { CertificateQuery, CertificateRow } from './certificates.sql.ts'
import {
  certificateConditions,
  certificateMaterial,
  certificateOrdering,
  certificateTable,
} from './certificates.sql.ts'
import { insertColumns, removeRow, updateColumns } from './resource.sql.ts'
import { registerResource } from './resource.ts'
import type { Resource, WriteResult } from './resource-definition.ts'
import { iso, listQuery, nullable, Time, Uuid } from './shapes.ts'

const KeyType = Type.Enum(['rsa', 'ec', 'dsa', 'ed25519', 'ed448'])
export const CertificateBody = Type.Object({
  pk: Uuid,
  name: Type.String(),
  fingerprint_sha256: nullable(Type.String()),
  fingerprint_sha1: nullable(Type.String()),
  cert_expiry: nullable(Time),
  cert_subject: nullable(Type.String()),
  private_key_available: Type.Boolean(),
  key_type: nullable(KeyType),
  certificate_download_url: Type.String(),
  private_key_download_url: Type.String(),
  managed: nullable(Type.String()),
})
const Pem = (minLength: number) => Type.String({ minLength, maxLength: 200_000 })
const CertificateInput = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 500 }),
  certificate_data: Pem(1),
  key_data: Type.Optional(Pem(0)),
})
type CertificateInput = Static<typeof CertificateInput>

export const base = '/api/v3/crypto/certificatekeypairs/'

const providers = {
  app: 'authentik_providers_oauth2',
  model: 'oauth2provider',
  pk: 'provider_id',
  name: 'client_id',
}

export const certificateResource: Resource<CertificateRow, CertificateInput, CertificateQuery> = {
  path: '/crypto/certificatekeypairs/',
  parameter: ['kp_uuid', Uuid],
  operation: 'crypto_certificatekeypairs',
  app: 'authentik_crypto',
  model: 'certificatekeypair',
  body: CertificateBody,
  write: CertificateInput,
  query: listQuery({
    has_key: Type.Optional(Type.Boolean()),
    key_type: Type.Optional(Type.Array(KeyType)),
    managed: Type.Optional(Type.String()),
    name: Type.Optional(Type.String()),
  }),
  table: certificateTable,
  where: certificateConditions,
  ordering: certificateOrdering,
  toBody: row => ({
    pk: row.id,
    name: row.name,
    fingerprint_sha256: row.fingerprint_sha256,
    fingerprint_sha1: row.fingerprint_sha1,
    cert_expiry: iso(row.not_after),
    cert_subject: row.subject,
    private_key_available: row.has_key,
    key_type: row.key_type,
    certificate_download_url: `${base}${row.id}/view_certificate/?download=true`,
    private_key_download_url: `${base}${row.id}/view_private_key/?download=true`,
    managed: row.managed,
  }),
  label: row => ({ pk: row.id, name: row.name }),
  insert: (context, input) => insertPair(context, input),
  update,
  remove,
  unique: { certificate_keypairs_name_key: 'name' },
  referrers: [
    { table: 'oauth2_providers', column: 'signing_key_id', ...providers, action: 'set_null' },
    { table: 'oauth2_providers', column: 'encryption_key_id', ...providers, action: 'set_null' },
    {
      table: 'proxy_providers',
      column: 'certificate_id',
      app: 'authentik_providers_proxy',
      model: 'proxyprovider',
      pk: 'provider_id',
      name: 'external_host',
      action: 'set_null',
    },
    {
      table: 'brands',
      column: 'web_certificate_id',
      app: 'authentik_core',
      model: 'brand',
      name: 'domain',
      action: 'set_null',
    },
  ],
}

export function registerCertificateResource(app: CoreApp, core: Core): void {
  registerResource(app, core, certificateResource)
}

/** @throws ApiError 400 on the half that is wrong */
export async function insertPair(context: WriteContext, input: CertificateInput): Promise<string> {
  const keyPem = input.key_data ?? ''
  const facts = check(input.certificate_data, keyPem)
  return insertColumns<string>(context.tx, 'certificate_keypairs', {
    name: input.name,
    certificate_pem: input.certificate_data,
    private_key_sealed: keyPem === '' ? null : context.core.secrets.seal('private_key', keyPem),
    ...factColumns(facts),
  })
}

async function update(
  context: WriteContext,
  row: CertificateRow,
  input: Partial<CertificateInput>,
): Promise<WriteResult> {
  const { core, tx } = context
  const { certificate_data: newCertificate, key_data: newKey } = input
  await updateColumns(tx, 'certificate_keypairs', row.id, { name: input.name })
  if (newCertificate === undefined && newKey === undefined) return {}
  const stored = await certificateMaterial(tx, row.id)
  const certificatePem = newCertificate ?? stored.certificate_pem
  const keyPem =
    newKey ??
    (stored.private_key_sealed === null ? '' : core.secrets.open('private_key', stored.private_key_sealed))
  // The pair as it will be must fit together, whichever half was sent.
  const facts = check(certificatePem, keyPem)
  await updateColumns(tx, 'certificate_keypairs', row.id, {
    certificate_pem: certificatePem,
    private_key_sealed:
      newKey === undefined ? undefined : newKey === '' ? null : core.secrets.seal('private_key', newKey),
    ...factColumns(facts),
  })
  await outpostsChanged(tx, core, { certificate: row.id })
  return {}
}

async function remove({ core, tx }: WriteContext, row: CertificateRow): Promise<WriteResult> {
  await outpostsChanged(tx, core, { certificate: row.id })
  await removeRow(tx, 'certificate_keypairs', row.id)
  return {}
}

/** @throws ApiError 400 on the half that is wrong */
function check(certificatePem: string, keyPem: string): CertificateFacts {
  const facts = orInvalid('certificate_data', () => readCertificate(certificatePem))
  if (keyPem !== '') orInvalid('key_data', () => requireMatchingKey(certificatePem, keyPem))
  return facts
}

function orInvalid<T>(field: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw invalid({ [field]: error instanceof Error ? error.message : 'This cannot be read.' })
  }
}

function factColumns(facts: CertificateFacts): Record<string, unknown> {
  return {
    fingerprint_sha256: facts.fingerprintSha256,
    fingerprint_sha1: facts.fingerprintSha1,
    subject: facts.subject,
    key_type: facts.keyType,
    not_after: facts.notAfter,
  }
}
