// Whom we believe when they tell us about the client: the front proxies listed in the settings, nobody else.
import type { IncomingMessage } from 'node:http'
import { BlockList, isIPv6 } from 'node:net'
import { forwardedAddress, parseNetwork, plainAddress } from './addresses.ts'

export interface TrustedPeers {
  /** True when the address of a TCP peer lies in one of the networks; false for undefined or anything that is no address. */
  isTrusted(address: string | undefined): boolean
}

/** Addresses whose verdict is remembered; front proxies are few, so a full map is simply emptied. */
const remembered = 1024

/**
 * @param cidrs networks such as `127.0.0.0/8` or `::1/128`, or single addresses; IPv4-mapped IPv6 is the same as IPv4
 * @throws Error naming the entry that is not a network
 */
export function createTrustedPeers(cidrs: readonly string[]): TrustedPeers {
  const networks = new BlockList()
  for (const cidr of cidrs) {
    const network = parseNetwork(cidr)
    if (network === undefined) throw new Error(`"${cidr}" is not a network such as 10.0.0.0/8 or fd00::/8`)
    networks.addSubnet(network.address, network.prefix, network.family)
  }
  const verdicts = new Map<string, boolean>()
  return {
    isTrusted(address) {
      if (address === undefined) return false
      const known = verdicts.get(address)
      if (known !== undefined) return known
      const plain = plainAddress(address)
      const verdict = plain !== undefined && networks.check(plain, plain.includes(':') ? 'ipv6' : 'ipv4')
      if (verdicts.size >= remembered) verdicts.clear()
      verdicts.set(address, verdict)
      return verdict
    },
  }
}

/**
 * Address of the client behind trusted proxies: the right-most entry of `X-Forwarded-For` that is not itself trusted, or the
 * left-most when all are. Anything that is no address on the way gives the TCP peer.
 */
export function clientAddress(request: {
  peer: string | undefined
  forwardedFor: string | string[] | undefined
  trusted: TrustedPeers
}): string {
  const { forwardedFor, trusted } = request
  const peer = plainAddress(request.peer ?? '') ?? request.peer ?? ''
  if (forwardedFor === undefined || !trusted.isTrusted(peer)) return peer
  const entries = (Array.isArray(forwardedFor) ? forwardedFor.join(',') : forwardedFor).split(',')
  let client = peer
  for (let at = entries.length - 1; at >= 0; at--) {
    const address = forwardedAddress((entries[at] ?? '').trim())
    if (address === undefined) return peer
    client = address
    if (!trusted.isTrusted(address)) return client
  }
  return client
}

export interface PublicOrigin {
  /** as the browser used it */
  scheme: 'http' | 'https'
  /** host with its port if one was given, lower case; empty when there is no valid one */
  host: string
}

export interface PublicRequest extends PublicOrigin {
  clientAddress: string
}

/**
 * How the browser sees this request. `X-Forwarded-Proto`, `-Host` and `-For` count only from a trusted peer; of several values the
 * last one does, because that is what the trusted peer itself wrote. Never throws: what is malformed is as if it were absent.
 */
export function publicRequest(
  request: Pick<IncomingMessage, 'headers' | 'socket'>,
  trusted: TrustedPeers,
): PublicRequest {
  const { headers, socket } = request
  const peer = socket.remoteAddress
  return {
    ...publicOrigin(
      socket,
      {
        host: headers.host,
        forwardedHost: headers['x-forwarded-host'],
        forwardedProto: headers['x-forwarded-proto'],
      },
      trusted,
    ),
    clientAddress: clientAddress({ peer, forwardedFor: headers['x-forwarded-for'], trusted }),
  }
}

/** The same from header values, without the client's address, which is what costs most: for the hot path. */
export function publicOrigin(
  socket: IncomingMessage['socket'],
  values: {
    host: string | undefined
    forwardedHost: string | string[] | undefined
    forwardedProto: string | string[] | undefined
  },
  trusted: TrustedPeers,
): PublicOrigin {
  const believed = trusted.isTrusted(socket.remoteAddress)
  const own: 'http' | 'https' = 'encrypted' in socket && socket.encrypted === true ? 'https' : 'http'
  return {
    scheme: (believed ? schemeOf(last(values.forwardedProto)) : undefined) ?? own,
    host: (believed ? hostOf(last(values.forwardedHost)) : undefined) ?? hostOf(values.host) ?? '',
  }
}

function last(value: string | string[] | undefined): string | undefined {
  if (value === undefined) return undefined
  const text = Array.isArray(value) ? value.join(',') : value
  return text.slice(text.lastIndexOf(',') + 1).trim()
}

function schemeOf(text: string | undefined): 'http' | 'https' | undefined {
  const scheme = text?.toLowerCase()
  if (scheme === 'https' || scheme === 'wss') return 'https'
  if (scheme === 'http' || scheme === 'ws') return 'http'
  return undefined
}

/** A host name, IPv4 address or bracketed IPv6 address with an optional port, lower case; undefined when it is anything else. */
export function hostOf(text: string | undefined): string | undefined {
  if (text === undefined || text.length > 261) return undefined
  const parts = /^(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?)(?::(\d{1,5}))?$/i.exec(text)
  if (parts === null) return undefined
  const [, name = '', port] = parts
  if (name.startsWith('[') && !isIPv6(name.slice(1, -1))) return undefined
  if (port !== undefined && (Number(port) > 65535 || Number(port) === 0)) return undefined
  return text.toLowerCase()
}
