// What a provider refers to: each must exist for the caller, and its own rules hold for a signing key.

import type { WriteContext } from '../api/audit.ts'
import { requireReferences } from '../api/references.sql.ts'
import { parseDuration } from '../duration.ts'
import { invalid } from '../errors.ts'
import { canSign } from './providers.sql.ts'

export interface ProviderReferences {
  authentication_flow?: string | null
  authorization_flow?: string
  invalidation_flow?: string
  property_mappings?: string[]
  signing_key?: string | null
  certificate?: string | null
  jwt_federation_sources?: string[]
  jwt_federation_providers?: number[]
}

/** @throws ApiError 400 on the first field that names what the caller may not view, or what cannot serve */
export async function checkReferences(
  { tx, principal }: WriteContext,
  input: ProviderReferences,
): Promise<void> {
  const flow = { table: 'flows', permission: 'authentik_flows.view_flow', type: 'uuid' } as const
  for (const field of ['authentication_flow', 'authorization_flow', 'invalidation_flow'] as const)
    await requireReferences(tx, principal, field, flow, [input[field]])
  const mapping = {
    table: 'property_mappings',
    permission: 'authentik_providers_oauth2.view_scopemapping',
    type: 'uuid',
  } as const
  await requireReferences(tx, principal, 'property_mappings', mapping, input.property_mappings ?? [])
  const keypair = {
    table: 'certificate_keypairs',
    permission: 'authentik_crypto.view_certificatekeypair',
    type: 'uuid',
  } as const
  for (const field of ['signing_key', 'certificate'] as const)
    await requireReferences(tx, principal, field, keypair, [input[field]])
  if (typeof input.signing_key === 'string' && !(await canSign(tx, input.signing_key)))
    throw invalid({ signing_key: 'This needs a certificate with its private key: RSA, EC or Ed25519.' })
  const source = input.jwt_federation_sources?.[0]
  if (source !== undefined)
    throw invalid({ jwt_federation_sources: `Invalid pk "${source}" - object does not exist.` })
  await requireReferences(
    tx,
    principal,
    'jwt_federation_providers',
    { table: 'providers', permission: 'authentik_providers_oauth2.view_oauth2provider', type: 'int' },
    input.jwt_federation_providers ?? [],
  )
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
