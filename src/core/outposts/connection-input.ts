// What a service connection may be written with, and what of it is stored.
import type { Static } from 'typebox'
import Type from 'typebox'
import type { WriteContext } from '../api/audit.ts'
import { requireReferences } from '../api/references.sql.ts'
import { Json, nullable, Uuid } from '../api/shapes.ts'
import type { Core } from '../core.ts'
import { invalid } from '../errors.ts'
import type { ConnectionRow } from './connections.sql.ts'
import { KubeconfigError, parseKubeconfig, resolveKubeconfig } from './kubeconfig.ts'

const name = Type.String({ minLength: 1, maxLength: 200 })
const local = Type.Optional(Type.Boolean())
const pair = Type.Optional(nullable(Uuid))

export const DockerInput = Type.Object({
  name,
  local,
  url: Type.String({ minLength: 1, maxLength: 2000 }),
  tls_verification: pair,
  tls_authentication: pair,
})
export const KubernetesInput = Type.Object({
  name,
  local,
  kubeconfig: Type.Optional(Type.Union([Json, Type.String({ maxLength: 500_000 })])),
  verify_ssl: Type.Optional(Type.Boolean()),
})
export type DockerInput = Static<typeof DockerInput>
export type KubernetesInput = Static<typeof KubernetesInput>

/** Columns of a Docker connection as it will be. @throws ApiError 400 naming the field */
export async function dockerColumns(
  { tx, principal }: WriteContext,
  stored: ConnectionRow['config'],
  input: Partial<DockerInput>,
): Promise<Record<string, unknown>> {
  if (input.url !== undefined && !isDockerUrl(input.url))
    throw invalid({
      url: 'Enter an address that begins with unix://, http://, https:// or ssh://, without credentials.',
    })
  for (const field of ['tls_verification', 'tls_authentication'] as const) {
    const permission = 'authentik_crypto.view_certificatekeypair'
    const reference = { table: 'certificate_keypairs', permission, type: 'uuid' as const }
    await requireReferences(tx, principal, field, reference, [input[field]])
  }
  const { url, tls_verification, tls_authentication } = { ...stored, ...defined(input) }
  return { config: JSON.stringify({ url, tls_verification, tls_authentication }) }
}

/** Columns of a Kubernetes connection as it will be; credentials that are not sent stay, unchecked. @throws ApiError 400 on `kubeconfig` */
export async function kubernetesColumns(
  { core }: WriteContext,
  row: ConnectionRow | null,
  input: Partial<KubernetesInput>,
): Promise<Record<string, unknown>> {
  const verify = input.verify_ssl ?? row?.config.verify_ssl ?? true
  const config = JSON.stringify({ verify_ssl: verify })
  const isLocal = input.local ?? row?.local ?? false
  const given =
    input.kubeconfig === undefined && row !== null ? undefined : checkedKubeconfig(input.kubeconfig ?? {})
  const stored = given === undefined ? row?.kubeconfig_sealed != null : Object.keys(given).length > 0
  if (!stored && !isLocal)
    throw invalid({ kubeconfig: 'You can only use an empty kubeconfig when connecting to a local cluster.' })
  if (given === undefined) return { config }
  return { config, kubeconfig_sealed: stored ? core.secrets.seal('kubeconfig', JSON.stringify(given)) : null }
}

function checkedKubeconfig(given: unknown): Record<string, unknown> {
  try {
    const config = parseKubeconfig(given)
    if (Object.keys(config).length > 0) resolveKubeconfig(config)
    return config
  } catch (error) {
    if (error instanceof KubeconfigError) throw invalid({ kubeconfig: error.message })
    throw error
  }
}

/** Credentials in clear. */
export function storedKubeconfig(core: Pick<Core, 'secrets'>, row: ConnectionRow): Record<string, unknown> {
  if (row.kubeconfig_sealed === null) return {}
  return parseKubeconfig(core.secrets.open('kubeconfig', row.kubeconfig_sealed))
}

function isDockerUrl(text: string): boolean {
  const url = URL.parse(text)
  if (url === null) return false
  if (url.protocol === 'unix:') return url.pathname.length > 1
  const plain = url.password === '' && (url.username === '' || url.protocol === 'ssh:')
  return plain && ['http:', 'https:', 'ssh:'].includes(url.protocol) && url.host !== ''
}

function defined<T extends object>(input: T): Partial<T> {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as Partial<T>
}
