// A kubeconfig as far as Postern uses one: where the cluster is and how to sign in with what the file itself holds. Paths and commands
// in it are never followed: they would be files and programs of this machine, chosen by whoever writes the connection.
import { parse } from 'yaml'

type Json = Record<string, unknown>

/** The text or object is no usable kubeconfig; `message` says what is wrong, without a value. */
export class KubeconfigError extends Error {
  constructor(problem: string) {
    super(`Invalid kubeconfig: ${problem}`)
    this.name = 'KubeconfigError'
  }
}

export interface ClusterAccess {
  server: string
  /** PEM */
  ca: string | undefined
  certificate: string | undefined
  key: string | undefined
  token: string | undefined
  basic: { username: string; password: string } | undefined
  insecure: boolean
}

/** @param given an object, or its text in YAML or JSON. @throws KubeconfigError */
export function parseKubeconfig(given: unknown): Json {
  let value = given
  if (typeof given === 'string') {
    try {
      // Aliases can make a small text very large.
      value = parse(given, { maxAliasCount: 0 })
    } catch {
      throw new KubeconfigError('this is neither YAML nor JSON')
    }
  }
  if (value === null || value === undefined || value === '') return {}
  if (!isObject(value)) throw new KubeconfigError('this must be an object')
  return value
}

/** What the current context says. @throws KubeconfigError when it does not resolve */
export function resolveKubeconfig(config: Json): ClusterAccess {
  const current = config['current-context']
  if (typeof current !== 'string' || current === '') throw new KubeconfigError('current-context is missing')
  const context = named(config, 'contexts', current, 'context')
  if (typeof context.cluster !== 'string' || typeof context.user !== 'string')
    throw new KubeconfigError('the current context names no cluster and user')
  const cluster = named(config, 'clusters', context.cluster, 'cluster')
  const user = named(config, 'users', context.user, 'user')
  const server = typeof cluster.server === 'string' ? URL.parse(cluster.server) : null
  if (server === null || (server.protocol !== 'https:' && server.protocol !== 'http:'))
    throw new KubeconfigError('the server of its cluster is no http or https address')
  return {
    server: server.href,
    ca: decoded(cluster['certificate-authority-data']),
    certificate: decoded(user['client-certificate-data']),
    key: decoded(user['client-key-data']),
    token: text(user.token),
    basic:
      typeof user.username === 'string' && typeof user.password === 'string'
        ? { username: user.username, password: user.password }
        : undefined,
    insecure: cluster['insecure-skip-tls-verify'] === true,
  }
}

function named(config: Json, list: string, name: string, member: string): Json {
  const entries = config[list]
  if (!Array.isArray(entries) || !entries.every(isObject))
    throw new KubeconfigError(`${list} must be a list of objects`)
  const found = entries.find(entry => entry.name === name)?.[member]
  if (!isObject(found)) throw new KubeconfigError(`${list} has no ${member} of the name its context uses`)
  return found
}

function decoded(value: unknown): string | undefined {
  return typeof value === 'string' ? Buffer.from(value, 'base64').toString('utf8') : undefined
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function isObject(value: unknown): value is Json {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}
