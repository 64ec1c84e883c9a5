// IP addresses as the 4 or 16 bytes a certificate holds.
import { isIPv4 } from 'node:net'

/** @param address a valid IPv4 or IPv6 address without zone */
export function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  // The URL parser gives the one canonical form (RFC 5952), with an embedded IPv4 address already in hexadecimal.
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1)
  const [head = '', tail] = canonical.split('::')
  const before = words(head)
  const after = words(tail ?? '')
  const zeros = tail === undefined ? [] : new Array<number>(8 - before.length - after.length).fill(0)
  return Buffer.from([...before, ...zeros, ...after].flatMap(word => [word >> 8, word & 0xff]))
}

function words(text: string): number[] {
  return text === '' ? [] : text.split(':').map(word => Number.parseInt(word, 16))
}
