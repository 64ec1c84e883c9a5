// An application's host is its door: who may change one provider must not be able to take the door of another, or the login page's.
import type { WriteContext } from '../api/audit.ts'
import { invalid } from '../errors.ts'
import { findHostClaims, isBrandDomain } from './free-host.sql.ts'

/**
 * @param wanted.externalHost as it will be stored; one that is no URL is judged elsewhere
 * @param wanted.except id of the provider that is saved
 * @throws ApiError 400 on `external_host` when the host is that of a provider the caller may not change, or of a brand
 */
export async function requireFreeHost(
  { tx, principal }: Pick<WriteContext, 'tx' | 'principal'>,
  wanted: { externalHost: string; mode: string; except?: number },
): Promise<void> {
  const url = URL.parse(wanted.externalHost)
  if (url === null) return
  const claims = await findHostClaims(tx, principal, url.hostname)
  const taken = claims.some(
    claim =>
      claim.id !== wanted.except && !claim.changeable && URL.parse(claim.external_host)?.host === url.host,
  )
  if (taken)
    throw invalid({
      external_host: `${url.host} is the address of another provider, which is not yours to change.`,
    })
  if (wanted.mode === 'proxy' && (await isBrandDomain(tx, url.hostname)))
    throw invalid({
      external_host: `${url.hostname} is the domain of a brand: an application in this mode would take its login page.`,
    })
}
