// Which names are ours: a page shown under any other would carry our forms and cookies to a stranger's address.
import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { plainAddress } from '../../http/addresses.ts'
import type { Core } from '../core.ts'
import { ApiError } from '../errors.ts'
import { findBrand } from './brand.sql.ts'

/**
 * @param host with port if one was given, as established at the edge
 * @returns lower case, without port; an IPv6 address without brackets; empty when there is no host
 */
export function hostnameOf(host: string): string {
  const name = URL.parse(`http://${host}`)?.hostname ?? ''
  return (name.startsWith('[') ? name.slice(1, -1) : name).replace(/\.$/, '')
}

/** True for the host of the base URL, loopback names and addresses, and a host a brand is made for. */
export function isKnownHost(host: string, baseUrl: URL, brandMatched: boolean): boolean {
  if (brandMatched) return true
  const name = hostnameOf(host)
  return name !== '' && (name === hostnameOf(baseUrl.host) || isLoopback(name))
}

function isLoopback(name: string): boolean {
  if (name === 'localhost') return true
  const address = isIP(name) === 0 ? undefined : plainAddress(name)
  return address !== undefined && (address === '::1' || address.startsWith('127.'))
}

/**
 * For routes that browsers open: asks the database only when the host is neither the base URL's nor loopback.
 * @throws ApiError 421 (RFC 9110 §15.5.20) with a sentence that names the setting
 */
export async function requireKnownHost(
  core: Pick<Core, 'db' | 'baseUrl'>,
  request: FastifyRequest,
): Promise<void> {
  const { host } = request.client
  if (isKnownHost(host, core.baseUrl, false)) return
  const name = hostnameOf(host)
  if (name !== '' && (await findBrand(core.db, name))?.matched === true) return
  throw unknownHost(core.baseUrl)
}

export function unknownHost(baseUrl: URL): ApiError {
  return new ApiError(
    421,
    `This address is not one Postern answers to. It is at ${baseUrl.origin}; to change that, set POSTERN_BASE_URL, or make a brand for this host.`,
    { code: 'unknown_host' },
  )
}
