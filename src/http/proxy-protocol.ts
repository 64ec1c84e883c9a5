// The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): how a TCP load balancer says who the client is.
import type { Socket } from 'node:net'
import { plainAddress } from './addresses.ts'

export interface ProxySource {
  address: string
  port: number
}

export type ProxyHeader =
  | { kind: 'more' } // the bytes so far could still become a header
  | { kind: 'none' } // ordinary traffic
  | { kind: 'invalid' } // begins as a header and breaks its rules
  | { kind: 'header'; length: number; source: ProxySource | undefined } // source undefined: health check or unknown family

const v1Start = Buffer.from('PROXY ')
const v2Start = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
/** Longest line of version 1, its line end included. */
const v1Max = 107
/** Addresses and extensions of version 2 beyond this are refused. */
const v2Max = 2048

/** Reads the header at the start of a connection's bytes. Never throws. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsLike(bytes, v1Start)) return bytes.length < v1Start.length ? { kind: 'more' } : parseV1(bytes)
  if (startsLike(bytes, v2Start)) return bytes.length < 16 ? { kind: 'more' } : parseV2(bytes)
  return { kind: 'none' }
}

/**
 * Takes an optional PROXY header off a fresh connection, then hands it on. The socket's `remoteAddress` and `remotePort` are those
 * of the header from then on.
 * @param options.next called once, when the header (if any) is gone, the socket being paused; never when the connection was dropped
 * @param options.refused told why a connection was dropped
 */
export function acceptProxyHeader(
  socket: Socket,
  options: { timeoutMs: number; next: () => void; refused: (reason: string) => void },
): void {
  let bytes: Buffer = Buffer.alloc(0)
  const stop = () => {
    clearTimeout(timer)
    socket.removeListener('data', onData)
    socket.removeListener('error', drop)
    socket.removeListener('end', drop)
    socket.removeListener('close', stop)
  }
  const drop = () => {
    stop()
    socket.on('error', () => {})
    socket.destroy()
  }
  const onData = (chunk: Buffer) => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
    const header = parseProxyHeader(bytes)
    if (header.kind === 'more') return
    if (header.kind === 'invalid') {
      options.refused('malformed PROXY protocol header')
      drop()
      return
    }
    stop()
    socket.pause()
    const rest = header.kind === 'header' ? bytes.subarray(header.length) : bytes
    if (header.kind === 'header' && header.source !== undefined) setSource(socket, header.source)
    if (rest.length > 0) socket.unshift(rest)
    options.next()
  }
  const timer = setTimeout(drop, options.timeoutMs).unref()
  socket.on('data', onData)
  socket.on('error', drop)
  socket.on('end', drop)
  socket.on('close', stop)
}

/** Makes a socket report the client a PROXY header named. */
export function setSource(socket: Socket, source: ProxySource): void {
  const family = source.address.includes(':') ? 'IPv6' : 'IPv4'
  Object.defineProperties(socket, {
    remoteAddress: { value: source.address, configurable: true },
    remotePort: { value: source.port, configurable: true },
    remoteFamily: { value: family, configurable: true },
  })
}

function startsLike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length)
  return bytes.subarray(0, length).equals(start.subarray(0, length))
}

function parseV1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, v1Max).indexOf('\r\n')
  if (end === -1) return bytes.length >= v1Max ? { kind: 'invalid' } : { kind: 'more' }
  const length = end + 2
  const [, family, source, destination, port, ...rest] = bytes.toString('latin1', 0, end).split(' ')
  if (family === 'UNKNOWN') return { kind: 'header', length, source: undefined }
  if (family !== 'TCP4' && family !== 'TCP6') return { kind: 'invalid' }
  const isFamily = (text: string | undefined) =>
    text !== undefined &&
    !text.includes('%') &&
    plainAddress(text) !== undefined &&
    text.includes(':') === (family === 'TCP6')
  const isPort = (text: string | undefined) =>
    text !== undefined && /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65535
  if (!isFamily(source) || !isFamily(destination) || !isPort(port) || !isPort(rest[0]) || rest.length !== 1)
    return { kind: 'invalid' }
  return { kind: 'header', length, source: { address: plainAddress(source ?? '') ?? '', port: Number(port) } }
}

function parseV2(bytes: Buffer): ProxyHeader {
  const command = bytes.readUInt8(12)
  const family = bytes.readUInt8(13)
  const size = bytes.readUInt16BE(14)
  if ((command !== 0x20 && command !== 0x21) || size > v2Max) return { kind: 'invalid' }
  const length = 16 + size
  if (bytes.length < length) return { kind: 'more' }
  if (command === 0x20) return { kind: 'header', length, source: undefined }
  if (family === 0x11) {
    if (size < 12) return { kind: 'invalid' }
    const address = Array.from(bytes.subarray(16, 20)).join('.')
    return { kind: 'header', length, source: { address, port: bytes.readUInt16BE(24) } }
  }
  if (family === 0x21) {
    if (size < 36) return { kind: 'invalid' }
    const groups = Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(16 + at * 2).toString(16))
    return {
      kind: 'header',
      length,
      source: { address: plainAddress(groups.join(':')) ?? '', port: bytes.readUInt16BE(48) },
    }
  }
  return { kind: 'header', length, source: undefined }
}
