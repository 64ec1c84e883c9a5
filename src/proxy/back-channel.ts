// The OAuth calls an outpost makes for one provider. Core must see them under its public name, because the issuer it puts
// into tokens comes from the request; and they carry the provider's credentials only, never the outpost's token.
import type { OutpostLink } from '../wire/link.ts'
import { LinkError } from '../wire/link.ts'
import type { RestClient } from './rest-client.ts'

/**
 * @param options.direct for calls under the name that is dialed
 * @param options.asPublic for calls under the public name; a client of its own, since undici ties a connection to one name
 * @param options.publicUrl the address browsers use for Core, or null when it is not known
 */
export function createBackChannel(options: {
  direct: RestClient
  asPublic: RestClient
  userAgent: string
  publicUrl: () => URL | null
}): OutpostLink['backChannel'] {
  const { direct, asPublic, userAgent, publicUrl } = options
  return async (provider, call) => {
    const endpoints = provider.oidc_configuration
    const headers = {
      accept: 'application/json',
      'user-agent': `${userAgent} (provider=${provider.name.replaceAll(/[^\x20-\x7e]/g, '?')})`,
    }
    switch (call.endpoint) {
      case 'jwks':
        return direct.call({ method: 'GET', url: address(endpoints.jwks_uri, 'jwks_uri'), headers })
      case 'token':
      case 'introspection': {
        const field = `${call.endpoint}_endpoint` as const
        const url = address(endpoints[field], field)
        return asPublic.call({
          method: 'POST',
          url,
          headers: {
            ...headers,
            ...publicHeaders(url, publicUrl()),
            'content-type': 'application/x-www-form-urlencoded',
          },
          body: new URLSearchParams(call.form).toString(),
        })
      }
    }
  }
}

/** @returns nothing when the address is the public one already */
function publicHeaders(url: URL, publicUrl: URL | null): Record<string, string> {
  if (publicUrl === null || (publicUrl.host === url.host && publicUrl.protocol === url.protocol)) return {}
  return { host: publicUrl.host, 'x-forwarded-proto': publicUrl.protocol.slice(0, -1) }
}

function address(value: string, field: string): URL {
  const url = URL.parse(value)
  if (url === null) throw new LinkError('unreachable', `oidc_configuration.${field} is no URL: ${value}`)
  return url
}
