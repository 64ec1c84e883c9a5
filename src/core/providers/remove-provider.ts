// The end of a provider, by whichever route: outposts are told while it is still known who used it, and its sessions end with it.
import type { WriteContext } from '../api/audit.ts'
import type { WriteResult } from '../api/resource-definition.ts'
import { outpostsChanged } from '../outposts/changed.ts'
import { syncPermissions } from '../outposts/permissions.sql.ts'
import { endProviderAccess } from '../sessions/revoke.ts'
import type { ProviderRow } from './provider-shape.ts'
import { deleteProvider } from './providers.sql.ts'

export async function removeProvider(
  { core, tx }: WriteContext,
  row: Pick<ProviderRow, 'id' | 'type'> & { client_id: string },
): Promise<WriteResult> {
  const outposts = await outpostsChanged(tx, core, { providers: [row.id] })
  const revocation = row.type === 'proxy' ? await endProviderAccess(tx, core.bus, row.client_id) : undefined
  await deleteProvider(tx, row.id)
  // Their roles named the provider; with it gone they hold less.
  if (outposts.length > 0) await syncPermissions(tx, outposts)
  return { revocationId: revocation?.id }
}
