// Raw connections for listener tests.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect, isIPv4, type Socket } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

export interface Conversation {
  socket: Socket
  /** everything received so far */
  text(): string
  /** Resolves when the text holds this, rejects when the connection ends without it. */
  until(part: string): Promise<string>
  /** Resolves with everything once the connection is closed. */
  closed: Promise<string>
}

/** Opens a TCP connection and sends the given bytes. */
export function converse(t: TestContext, port: number, ...first: (string | Buffer)[]): Conversation {
  const socket = connect({ host: '127.0.0.1', port })
  t.after(() => socket.destroy())
  for (const bytes of first) socket.write(bytes)
  return listen(socket)
}

/** The same over a socket that is already there. */
export function listen(socket: Socket): Conversation {
  let text = ''
  const waiting = new Set<() => void>()
  const wake = () => {
    for (const look of waiting) look()
  }
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    wake()
  })
  socket.on('error', () => {})
  const closed = new Promise<string>(resolve => {
    socket.on('close', () => {
      wake()
      resolve(text)
    })
  })
  return {
    socket,
    text: () => text,
    closed,
    until: part =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (text.includes(part)) resolve(text)
          else if (socket.destroyed) reject(new Error(`closed before "${part}": ${text}`))
          else return
          waiting.delete(look)
        }
        waiting.add(look)
        look()
      }),
  }
}

/** A PROXY header of version 2 for TCP from this source. */
export function proxyV2(address: string, port: number, extensions: Buffer = Buffer.alloc(0)): Buffer {
  const four = isIPv4(address)
  const block = Buffer.alloc(four ? 12 : 36)
  if (four) Buffer.from(address.split('.').map(Number)).copy(block)
  else groupsOf(address).forEach((group, at) => void block.writeUInt16BE(group, at * 2))
  block.writeUInt16BE(port, four ? 8 : 32)
  const head = Buffer.from('\r\n\r\n\0\r\nQUIT\n\x21\0\0\0', 'latin1')
  head.writeUInt8(four ? 0x11 : 0x21, 13)
  head.writeUInt16BE(block.length + extensions.length, 14)
  return Buffer.concat([head, block, extensions])
}

function groupsOf(address: string): number[] {
  const [left = '', right = ''] = address.split('::')
  const numbers = (text: string) =>
    text === '' ? [] : text.split(':').map(group => Number.parseInt(group, 16))
  const end = numbers(right)
  const start = numbers(left)
  return [...start, ...Array<number>(8 - start.length - end.length).fill(0), ...end]
}

/** A self-signed certificate made by openssl. */
export function selfSigned(t: TestContext, name: string): { key: string; cert: string } {
  const folder = mkdtempSync('/tmp/postern-cert-')
  t.after(() => rmSync(folder, { recursive: true }))
  const [key, cert] = [join(folder, 'key'), join(folder, 'cert')]
  execFileSync(
    'openssl',
    [
      ...[
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-days',
        '1',
      ],
      ...['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`, '-keyout', key, '-out', cert],
    ],
    { stdio: 'ignore' },
  )
  return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }
}
