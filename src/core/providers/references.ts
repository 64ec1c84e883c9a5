// What a provider refers to: each must exist for the caller, and its own rules hold for a signing key.
import type { WriteContext } from '../api/audit.ts'
import { holdsOnAll, requireReferences } from '../api/references.sql.ts'
import { parseDuration } from '../duration.ts'
import { ApiError, invalid } from '../errors.ts'
import { canSign } from './providers.sql.ts'

export interface ProviderReferences {
  authentication_flow?: string | null
  authorization_flow?: string
  invalidation_flow?: string
  property_mappings?: string[]
  signing_key?: string | null
  /** of an outpost's listener */
  certificate?: string | null
  jwt_federation_sources?: string[]
  jwt_federation_providers?: number[]
}

type Single =
  | 'authentication_flow'
  | 'authorization_flow'
  | 'invalidation_flow'
  | 'signing_key'
  | 'certificate'

/**
 * @param before what the provider refers to already: that is not judged again
 * @throws ApiError 400 on the first field that names what the caller may not view, or what cannot serve; 403 for a certificate whose
 *   private key the caller may not view, because outposts could then read it
 */
export async function checkReferences(
  { tx, principal }: WriteContext,
  input: ProviderReferences,
  before: ProviderReferences = {},
): Promise<void> {
  const fresh = (field: Single) => (input[field] === before[field] ? undefined : input[field])
  const flow = { table: 'flows', permission: 'authentik_flows.view_flow', type: 'uuid' } as const
  for (const field of ['authentication_flow', 'authorization_flow', 'invalidation_flow'] as const)
    await requireReferences(tx, principal, field, flow, [fresh(field)])
  const mapping = {
    table: 'property_mappings',
    permission: 'authentik_providers_oauth2.view_scopemapping',
    type: 'uuid',
  } as const
  const mappings = added(input.property_mappings, before.property_mappings)
  await requireReferences(tx, principal, 'property_mappings', mapping, mappings)
  const keypair = {
    table: 'certificate_keypairs',
    permission: 'authentik_crypto.view_certificatekeypair',
    type: 'uuid',
  } as const
  for (const field of ['signing_key', 'certificate'] as const)
    await requireReferences(tx, principal, field, keypair, [fresh(field)])
  const signingKey = fresh('signing_key')
  if (typeof signingKey === 'string' && !(await canSign(tx, signingKey)))
    throw invalid({ signing_key: 'This needs a certificate with its private key: RSA, EC or Ed25519.' })
  const certificate = fresh('certificate')
  if (typeof certificate === 'string' && !(await holdsOnAll(tx, principal, viewKey, [certificate])))
    throw new ApiError(
      403,
      'Outposts would get the private key of this certificate, which you may not view yourself.',
      {
        code: 'permission_denied',
      },
    )
  const source = input.jwt_federation_sources?.[0]
  if (source !== undefined)
    throw invalid({ jwt_federation_sources: `Invalid pk "${source}" - object does not exist.` })
  await requireReferences(
    tx,
    principal,
    'jwt_federation_providers',
    { table: 'providers', permission: 'authentik_providers_oauth2.view_oauth2provider', type: 'int' },
    added(input.jwt_federation_providers, before.jwt_federation_providers),
  )
}

const viewKey = 'authentik_crypto.view_certificatekeypair_key'

function added<T>(wanted: T[] = [], before: T[] = []): T[] {
  return wanted.filter(id => !before.includes(id))
}

/**
 * @param positive those of the fields that must be more than zero
 * @returns field → sentence
 */
export function durationProblems(
  input: Record<string, unknown>,
  fields: readonly string[],
  positive: readonly string[],
): Record<string, string> {
  const problems: Record<string, string> = {}
  for (const field of fields) {
    const text = input[field]
    if (typeof text !== 'string') continue
    const ms = parseDuration(text)
    if (ms === null) problems[field] = 'A duration looks like "hours=1;minutes=30".'
    else if (ms < 1000 && positive.includes(field)) problems[field] = 'This must be a second or more.'
    else if (ms > longest) problems[field] = 'This must not be more than 100 years.'
  }
  return problems
}

const longest = 100 * 365 * 86_400_000
