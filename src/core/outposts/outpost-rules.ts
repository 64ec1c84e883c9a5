// What an outpost may be saved with, beyond the shapes of its fields.
import { embeddedOutpostManaged } from '../../wire/outpost.ts'
import type { WriteContext } from '../api/audit.ts'
import { holdsOnAll, requireReferences } from '../api/references.sql.ts'
import { ApiError, invalid } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import type { OutpostType } from './account.sql.ts'
import { embeddedOutpostName } from './account.ts'
import { ConfigError, checkConfig, readConfig } from './config.ts'
import type { OutpostRow } from './outposts.sql.ts'
import { connectionType, findProviders, type ProviderToAttach } from './outposts.sql.ts'

/** Message about `managed`. */
export const embeddedMarkIsOurs = 'This mark belongs to the embedded outpost.'

/** The mark after an update; an embedded outpost that lost it gets it back with the next save that names it. */
export function managedOf(
  row: OutpostRow,
  input: { name?: string; managed?: string | null },
  embedded: boolean,
): string | null {
  if (!embedded) {
    if (input.managed === embeddedOutpostManaged) throw invalid({ managed: embeddedMarkIsOurs })
    return input.managed === undefined ? row.managed : input.managed
  }
  if (input.name !== undefined && input.name !== embeddedOutpostName)
    throw invalid({ name: "Embedded outpost's name cannot be changed" })
  return input.name === undefined ? row.managed : embeddedOutpostManaged
}

/**
 * @param before providers the outpost has already: those are not judged again
 * @throws ApiError 400 on `providers`, 403 for one whose secrets the outpost would get from somebody who may not have them himself
 */
export async function checkProviders(
  context: WriteContext,
  type: OutpostType,
  ids: number[],
  embedded: boolean,
  before: number[] = [],
): Promise<void> {
  const { core, tx, principal } = context
  if (ids.length === 0) {
    if (embedded) return
    throw invalid({ providers: 'This list may not be empty.' })
  }
  const found = await findProviders(tx, principal, ids)
  const missing = ids.find(id => found.every(provider => provider.id !== id))
  if (missing !== undefined) throw invalid({ providers: `Invalid pk "${missing}" - object does not exist.` })
  const wrong = found.find(provider => provider.type !== type)
  if (wrong !== undefined)
    throw invalid({
      providers: `Outpost type ${type} can't be used with provider ${wrong.name} of type ${wrong.type}.`,
    })
  await requireSecretsHeld(
    context,
    found.filter(provider => !before.includes(provider.id)),
  )
  // There it would take the whole host, login page and this API included.
  const own = found.find(
    ({ mode, external_host }) =>
      mode === 'proxy' && URL.parse(external_host ?? '')?.host === core.baseUrl.host,
  )
  if (embedded && own !== undefined)
    throw invalid({
      providers: `Provider ${own.name} is in mode proxy on the host of Postern itself (${core.baseUrl.host}); give it another external_host.`,
    })
}

/** An outpost, and with it whoever runs it, reads client secret, cookie secret and private key of each of its providers. */
async function requireSecretsHeld(
  { tx, principal }: WriteContext,
  providers: ProviderToAttach[],
): Promise<void> {
  const closed = providers.find(provider => !provider.changeable)
  const keys = providers.map(provider => provider.certificate_id).filter(id => id !== null)
  const mayReadKeys = await holdsOnAll(tx, principal, 'authentik_crypto.view_certificatekeypair_key', keys)
  if (closed === undefined && mayReadKeys) return
  const what = closed === undefined ? 'private keys of certificates' : `secrets of provider ${closed.name}`
  throw new ApiError(403, `The outpost would get ${what}, which are not yours to give.`, {
    code: 'permission_denied',
  })
}

/** @throws ApiError 400 on `service_connection` */
export async function checkConnection(
  { tx, principal }: WriteContext,
  id: string | null | undefined,
): Promise<void> {
  const permission = 'authentik_outposts.view_outpostserviceconnection'
  const reference = { table: 'service_connections', permission, type: 'uuid' as const }
  await requireReferences(tx, principal, 'service_connection', reference, [id])
}

/** A configuration that may be stored. @throws ApiError 400 on `config` */
export function checkedConfig(config: Record<string, unknown>): Record<string, unknown> {
  try {
    return checkConfig(config)
  } catch (error) {
    if (error instanceof ConfigError)
      throw new ApiError(400, error.message, { fields: { config: [error.message] }, code: 'invalid' })
    throw error
  }
}

/** Records a configuration that can be stored but will not work as it stands. */
export async function warnOfConfig(
  { core, tx, principal, request }: WriteContext,
  outpost: { id: string; name: string; config: Record<string, unknown>; connection: string | null },
): Promise<void> {
  const config = readConfig(outpost.config)
  const inDatabase = config.session_backend.trim().toLowerCase().startsWith('postgres')
  if (!inDatabase || config.kubernetes_postgresql_secret_name !== '' || outpost.connection === null) return
  if ((await connectionType(tx, outpost.connection)) !== 'kubernetes') return
  const message = `Outpost ${outpost.name}: session_backend is postgres but kubernetes_postgresql_secret_name is empty, so its pods get no database`
  const { user } = principal
  await recordEvent(tx, {
    action: 'configuration_warning',
    app: 'authentik.outposts',
    user: { pk: user.id, username: user.username, email: user.email },
    context: { message, outpost: { pk: outpost.id, name: outpost.name } },
    clientIp: request.client.clientAddress,
  })
  tx.afterCommit(() => core.log.warning(message, { outpost: outpost.id }))
}
