// Network addresses as text, read strictly.
import { isIP, isIPv4, SocketAddress } from 'node:net'

/**
 * One address in its plain form: IPv4-mapped IPv6 becomes IPv4, a zone (`%eth0`) is dropped, IPv6 is compressed and lower case.
 * @returns undefined when the text is not an IP address
 */
export function plainAddress(text: string): string | undefined {
  const zone = text.indexOf('%')
  const bare = zone === -1 ? text : text.slice(0, zone)
  const family = isIP(bare)
  if (family === 0) return undefined
  if (family === 4) return zone === -1 ? bare : undefined
  const { address } = new SocketAddress({ address: bare, family: 'ipv6' })
  const mapped = address.startsWith('::ffff:') ? address.slice(7) : ''
  return isIPv4(mapped) ? mapped : address
}

/**
 * One element of `X-Forwarded-For`: an address, or an address with a port (`192.0.2.1:80`, `[2001:db8::1]:443`).
 * @returns the plain address, or undefined when the text is anything else
 */
export function forwardedAddress(text: string): string | undefined {
  const direct = plainAddress(text)
  if (direct !== undefined) return direct
  const parts = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text)
  if (parts === null) return undefined
  const [, six, four, port] = parts
  if (port !== undefined && Number(port) > 65535) return undefined
  if (six !== undefined) return six.includes(':') ? plainAddress(six) : undefined
  return four === undefined ? undefined : plainAddress(four)
}

/** A network in CIDR form, or a single address. */
export interface Network {
  address: string
  prefix: number
  family: 'ipv4' | 'ipv6'
}

/**
 * Reads `10.0.0.0/8`, `::1/128` or a single address. IPv4-mapped networks become IPv4 networks.
 * @returns undefined when the text is none of these
 */
export function parseNetwork(text: string): Network | undefined {
  const [address = '', bits, ...rest] = text.trim().split('/')
  if (rest.length > 0 || address.includes('%')) return undefined
  const family = isIP(address)
  if (family === 0) return undefined
  const width = family === 4 ? 32 : 128
  if (bits !== undefined && !/^(0|[1-9]\d{0,2})$/.test(bits)) return undefined
  const prefix = bits === undefined ? width : Number(bits)
  if (prefix > width) return undefined
  const plain = plainAddress(address) ?? address
  if (family === 6 && isIPv4(plain) && prefix >= 96)
    return { address: plain, prefix: prefix - 96, family: 'ipv4' }
  return { address, prefix, family: family === 4 ? 'ipv4' : 'ipv6' }
}
