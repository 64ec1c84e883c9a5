// The `config` of an outpost: every key with its type, its default and its rule. Stored is what was sent, unknown keys included;
// missing keys take their defaults when the object is read.
import { readFileSync } from 'node:fs'
import type { Static, TSchema } from 'typebox'
import Type from 'typebox'
import Value from 'typebox/value'
import { parseDuration } from '../duration.ts'

const text = (value: string) => Type.String({ maxLength: 2000, default: value })
const texts = Type.Record(Type.String(), Type.String())
const noText = Type.Union([Type.String({ maxLength: 2000 }), Type.Null()], { default: null })

const ParentRef = Type.Object(
  {
    name: Type.String({ minLength: 1 }),
    namespace: Type.Optional(Type.String()),
    sectionName: Type.Optional(Type.String()),
    port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
    kind: Type.Optional(Type.String()),
    group: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
)

/** RFC 6902 §4. */
const PatchOperation = Type.Object({
  op: Type.Enum(['add', 'remove', 'replace', 'move', 'copy', 'test']),
  path: Type.String({ pattern: '^(/.*)?$' }),
  from: Type.Optional(Type.String({ pattern: '^(/.*)?$' })),
})

/** Every key, with its default. */
export const OutpostConfigSchema = Type.Object({
  authentik_host: text(''),
  authentik_host_insecure: Type.Boolean({ default: false }),
  authentik_host_browser: text(''),
  log_level: Type.Enum(['trace', 'debug', 'info', 'warning', 'error'], { default: 'info' }),
  object_naming_template: Type.String({ minLength: 1, maxLength: 253, default: 'ak-outpost-%(name)s' }),
  refresh_interval: text('minutes=5'),
  container_image: noText,
  docker_network: noText,
  docker_map_ports: Type.Boolean({ default: true }),
  docker_labels: Type.Union([texts, Type.Null()], { default: null }),
  kubernetes_replicas: Type.Integer({ minimum: 0, maximum: 1000, default: 1 }),
  kubernetes_namespace: text('default'),
  kubernetes_ingress_annotations: Type.Record(Type.String(), Type.String(), { default: {} }),
  kubernetes_ingress_secret_name: text('authentik-outpost-tls'),
  kubernetes_ingress_class_name: noText,
  kubernetes_ingress_path_type: Type.Union(
    [Type.Enum(['Prefix', 'Exact', 'ImplementationSpecific']), Type.Null()],
    {
      default: null,
    },
  ),
  kubernetes_httproute_annotations: Type.Record(Type.String(), Type.String(), { default: {} }),
  kubernetes_httproute_parent_refs: Type.Array(ParentRef, { default: [] }),
  kubernetes_service_type: Type.Enum(['ClusterIP', 'NodePort', 'LoadBalancer'], { default: 'ClusterIP' }),
  kubernetes_disabled_components: Type.Array(Type.String(), { default: [] }),
  kubernetes_image_pull_secrets: Type.Array(Type.String(), { default: [] }),
  kubernetes_json_patches: Type.Union([Type.Record(Type.String(), Type.Array(PatchOperation)), Type.Null()], {
    default: null,
  }),
  kubernetes_disable_x509_strict: Type.Boolean({ default: false }),
  session_backend: text(''),
  kubernetes_postgresql_secret_name: text(''),
  kubernetes_postgresql_credentials_secret_name: text(''),
})
export type OutpostConfig = Static<typeof OutpostConfigSchema> & { [key: string]: unknown }

type Key = keyof typeof OutpostConfigSchema.properties
const schemas: Record<string, TSchema> = OutpostConfigSchema.properties

/** Missing keys as their defaults, and those too whose value has a shape that no save lets pass. */
export function readConfig(stored: Record<string, unknown>): OutpostConfig {
  const good = Object.entries(stored).filter(([key, value]) => {
    const schema = schemaOf(key)
    return schema === undefined || (value !== undefined && Value.Check(schema, value))
  })
  return { ...defaultConfig(), ...Object.fromEntries(good) } as OutpostConfig
}

function schemaOf(key: string): TSchema | undefined {
  return Object.hasOwn(schemas, key) ? schemas[key] : undefined
}

/** Defaults of every key; the namespace is this pod's own where there is one. */
export function defaultConfig(): OutpostConfig {
  const entries = Object.entries(schemas).map(([key, schema]) => [
    key,
    structuredClone((schema as { default?: unknown }).default),
  ])
  return { ...Object.fromEntries(entries), kubernetes_namespace: ownNamespace() } as OutpostConfig
}

/** Seconds between two refreshes of an outpost, within the bounds every outpost keeps. */
export function refreshSeconds(config: OutpostConfig): number {
  const ms = parseDuration(config.refresh_interval) ?? 300_000
  return Math.min(Math.max(Math.round(ms / 1000), 10), 86_400)
}

/**
 * Checks an object before it is stored and brings the few values with two spellings into one.
 * @returns what to store: the keys given, unknown ones included
 * @throws ConfigError naming the key
 */
export function checkConfig(given: Record<string, unknown>): Record<string, unknown> {
  const config = { ...given }
  if (config.session_backend === null) config.session_backend = ''
  if (config.container_image === '') config.container_image = null
  for (const [key, value] of Object.entries(config)) {
    const schema = schemaOf(key)
    if (schema === undefined) continue
    const problem = shapeProblem(schema, value) ?? rules[key as Key]?.(value as never)
    if (problem !== undefined) throw new ConfigError(key, problem)
  }
  return config
}

/** A value of the configuration is not allowed. */
export class ConfigError extends Error {
  constructor(key: string, problem: string) {
    super(`Failed to validate config: ${key} ${problem}`)
    this.name = 'ConfigError'
  }
}

function shapeProblem(schema: TSchema, value: unknown): string | undefined {
  if (Value.Check(schema, value)) return undefined
  const [first] = Value.Errors(schema, value)
  const at = first?.instancePath ? ` (at ${first.instancePath})` : ''
  return `${first?.message ?? 'is not valid'}${at}`
}

/** Spellings of `session_backend` that are understood, in any case. */
export const sessionBackends = ['', 'filesystem', 'postgres', 'postgresql'] as const

const rules: Partial<Record<Key, (value: never) => string | undefined>> = {
  authentik_host: hostProblem,
  authentik_host_browser: hostProblem,
  object_naming_template(template: string) {
    const rest = template.replaceAll(/%\((?:name|uuid)\)s/g, '')
    return rest.includes('%') ? 'knows the placeholders %(name)s and %(uuid)s only' : undefined
  },
  refresh_interval(duration: string) {
    const ms = duration.trim() === '' ? null : parseDuration(duration)
    return ms === null ? 'must be a duration like minutes=5;seconds=30' : undefined
  },
  session_backend(backend: string) {
    const known: readonly string[] = sessionBackends
    if (known.includes(backend.trim().toLowerCase())) return undefined
    return 'must be empty or one of filesystem, postgres, postgresql'
  },
  kubernetes_postgresql_secret_name: secretNameProblem,
  kubernetes_postgresql_credentials_secret_name: secretNameProblem,
}

function hostProblem(host: string): string | undefined {
  if (host === '') return undefined
  const url = URL.parse(host)
  const good = url !== null && (url.protocol === 'http:' || url.protocol === 'https:') && url.username === ''
  return good ? undefined : 'must be empty or an address like https://auth.example.com/'
}

/** A DNS-1123 subdomain, as Kubernetes names objects (RFC 1123 §2.1). */
function secretNameProblem(name: string): string | undefined {
  const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?'
  const good = name.length <= 253 && new RegExp(`^(${label}(\\.${label})*)?$`).test(name)
  return good ? undefined : 'must be empty or the name of a Secret: lower-case letters, digits, "-" and "."'
}

let namespace: string | undefined

function ownNamespace(): string {
  namespace ??= readNamespace()
  return namespace
}

function readNamespace(): string {
  try {
    return readFileSync('/var/run/secrets/kubernetes.io/serviceaccount/namespace', 'utf8').trim() || 'default'
  } catch {
    return 'default'
  }
}
