// An outpost and what it is in the system: a service account, one token, one role with exactly the permissions it needs. All of it is
// made and repaired in the transaction of whoever saves the outpost.
import { randomUUID } from 'node:crypto'
import type { Queryable, Tx } from '../../pg/db.ts'
import { lockInTx } from '../../pg/lock.ts'
import { embeddedOutpostManaged } from '../../wire/outpost.ts'
import type { Core } from '../core.ts'
import { randomText, sha256 } from '../secrets.ts'
import { insertUser } from '../users/new-user.sql.ts'
import type { OutpostType } from './account.sql.ts'
import {
  accountsOf,
  addProviders,
  deleteOutpostRows,
  findEmbedded,
  firstConnection,
  insertOutpost,
  markEmbedded,
  repairAccount,
  replaceToken,
  sealedTokenOf,
  setProviders,
} from './account.sql.ts'
import { outpostsChanged } from './changed.ts'
import { checkConfig } from './config.ts'
import { syncPermissions } from './permissions.sql.ts'

/** Bus message `{outpost}`: its links end. */
export const outpostDeletedMessage = 'outpost.deleted'
export const embeddedOutpostName = 'authentik Embedded Outpost'
/** Names of service accounts of outposts begin with it. */
export const accountPrefix = 'ak-outpost-'
const accountPath = 'goauthentik.io/outposts'

type Parts = Pick<Core, 'bus' | 'secrets' | 'installationId'>

export interface OutpostInput {
  name: string
  type: OutpostType
  /** ids of providers of this type */
  providers: number[]
  /** keys of `OutpostConfig`; those left out take their defaults */
  config: Record<string, unknown>
  managed?: string | null
  serviceConnection?: string | null
}

/**
 * Creates an outpost with account, token and permissions.
 * @returns its id, and the identifier of the token whose key a standalone process needs
 * @throws ConfigError; the database's error for a name that is taken or a provider that does not exist
 */
export async function createOutpost(
  tx: Tx,
  core: Parts,
  input: OutpostInput,
): Promise<{ id: string; tokenIdentifier: string }> {
  const config = checkConfig(input.config)
  const id = randomUUID()
  const user = await insertUser(tx, core.installationId, {
    username: usernameOf(id),
    name: displayName(input.name),
    type: 'internal_service_account',
    path: accountPath,
  })
  await insertOutpost(tx, {
    id,
    name: input.name,
    type: input.type,
    managed: input.managed ?? null,
    serviceConnectionId: input.serviceConnection ?? null,
    config,
    userId: user.id,
  })
  await setProviders(tx, id, input.providers)
  await ensureAccounts(tx, core, [id])
  await outpostsChanged(tx, core, { outposts: [id] })
  return { id, tokenIdentifier: tokenIdentifierOf(id) }
}

/**
 * Repairs accounts, tokens, roles and permissions; what is right already is not written.
 * @param ids default: all outposts (for the sweep every eight hours)
 */
export async function ensureAccounts(tx: Tx, core: Pick<Core, 'secrets'>, ids?: string[]): Promise<void> {
  const accounts = await accountsOf(tx, ids)
  for (const account of accounts) {
    await repairAccount(tx, {
      outpostId: account.id,
      userId: account.user_id,
      username: usernameOf(account.id),
      name: displayName(account.name),
      path: accountPath,
    })
    if (!account.has_token) await newToken(tx, core, account)
  }
  await syncPermissions(
    tx,
    accounts.map(account => account.id),
  )
}

async function newToken(
  tx: Tx,
  core: Pick<Core, 'secrets'>,
  outpost: { id: string; name: string; user_id: number },
): Promise<void> {
  const identifier = tokenIdentifierOf(outpost.id)
  const key = randomText(60)
  await replaceToken(tx, {
    identifier,
    managed: `goauthentik.io/outpost/${identifier}`,
    userId: outpost.user_id,
    description: `Made by Postern for the outpost ${outpost.name}`,
    keyHash: sha256(key),
    keySealed: core.secrets.seal('token_key', key),
  })
}

/** Puts providers on an outpost, besides those it has. */
export async function attachProviders(
  tx: Tx,
  core: Pick<Core, 'bus'>,
  outpostId: string,
  providers: number[],
): Promise<void> {
  if ((await addProviders(tx, outpostId, providers)) > 0)
    await outpostsChanged(tx, core, { outposts: [outpostId] })
}

/** Key of an outpost's token, for whoever starts its process. @throws Error when there is no such outpost or its key was not kept */
export async function outpostToken(
  db: Queryable,
  core: Pick<Core, 'secrets'>,
  outpostId: string,
): Promise<string> {
  const sealed = await sealedTokenOf(db, outpostId)
  if (sealed === undefined) throw new Error(`outpost ${outpostId} has no token whose key can be read`)
  return core.secrets.open('token_key', sealed)
}

/** Deletes an outpost with account, token and role; its links end after commit. */
export async function deleteOutpost(tx: Tx, core: Pick<Core, 'bus'>, outpostId: string): Promise<void> {
  if ((await deleteOutpostRows(tx, outpostId)) === undefined) return
  tx.afterCommit(() => core.bus.publish(outpostDeletedMessage, { outpost: outpostId }))
}

/**
 * The outpost inside Core, at every start: made when it is missing, marked again when its mark was lost, its name and type restored.
 * @returns its id
 */
export async function ensureEmbeddedOutpost(tx: Tx, core: Parts): Promise<string> {
  await lockInTx(tx, 'outpost', 'embedded')
  const found = await findEmbedded(tx, embeddedOutpostName)
  if (found === undefined) {
    const { id } = await createOutpost(tx, core, {
      name: embeddedOutpostName,
      type: 'proxy',
      providers: [],
      config: {},
      managed: embeddedOutpostManaged,
      serviceConnection: await firstConnection(tx),
    })
    return id
  }
  const right =
    found.managed === embeddedOutpostManaged && found.name === embeddedOutpostName && found.type === 'proxy'
  if (!right) await markEmbedded(tx, found.id, embeddedOutpostName)
  await ensureAccounts(tx, core, [found.id])
  return found.id
}

export function tokenIdentifierOf(outpostId: string): string {
  return `${accountPrefix}${outpostId}-api`
}

function usernameOf(outpostId: string): string {
  return `${accountPrefix}${outpostId.replaceAll('-', '')}`
}

function displayName(outpostName: string): string {
  return `Outpost ${outpostName} Service-Account`
}
