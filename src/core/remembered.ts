// What Core remembers between requests, and which changes end that. Only how things look and what is public anyway: who may do what is
// read anew every time, and so is whether a host is one of ours.
//
// `audit` calls `forget` for every object the API changes, so a new kind of object needs a line here and nothing elsewhere.
import type { Cache } from '../pg/cache.ts'
import type { Tx } from '../pg/db.ts'

/** `brands`: how pages look; `flows`: titles of flow pages; `oidc`: discovery documents and public keys. */
export type Remembered = 'brands' | 'flows' | 'oidc'

export type Memory = Pick<Cache, 'get' | 'invalidate'>

/** Objects, as events name them, and what was made of them. */
const madeOf: Record<string, readonly Remembered[]> = {
  // titles and images
  'authentik_core.brand': ['brands'],
  'authentik_admin_files.file': ['brands'],
  // its address is in the brand that opens it, and in the documents of its provider
  'authentik_core.application': ['brands', 'oidc'],
  'authentik_flows.flow': ['brands', 'flows'],
  'authentik_flows.flowstagebinding': ['flows'],
  'authentik_providers_oauth2.oauth2provider': ['oidc'],
  'authentik_providers_oauth2.scopemapping': ['oidc'],
  'authentik_providers_proxy.proxyprovider': ['oidc'],
  'authentik_crypto.certificatekeypair': ['oidc'],
}

/** Everywhere, once the transaction is committed. @param model e.g. `authentik_core.brand` */
export async function forget(memory: Memory, tx: Tx, model: string): Promise<void> {
  for (const namespace of madeOf[model] ?? []) await memory.invalidate(namespace, tx)
}

/** The administrator has been set up: pages stop leading there. */
export async function forgetSetup(memory: Memory, tx: Tx): Promise<void> {
  await memory.invalidate('brands', tx)
  await memory.invalidate('flows', tx)
}

/**
 * A change that was not told, e.g. one made by hand in the database, is seen after this at the latest. The process remembers by itself:
 * one statement makes each of these things, and to ask the shared table costs one as well.
 */
const use = { ttlMs: 30_000, table: false } as const

/**
 * @param key of a bounded set: never what a stranger may choose freely
 * @param load what it throws is not kept
 */
export function remember<T>(
  memory: Memory,
  namespace: Remembered,
  key: string,
  load: () => Promise<T>,
): Promise<T> {
  return memory.get(namespace, key, { ...use, load })
}
