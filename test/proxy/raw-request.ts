// Requests as they are written, byte for byte: Node's client would refuse half of them.
import net from 'node:net'

export type Headers = [string, string][]

export interface RawAnswer {
  status: number
  head: string
  /** what `echo` told, without framing; empty when it is no such answer */
  body: string
}

/** A GET as it is written, byte for byte; status 0 when the connection ends without an answer counts as 599. */
export function rawAsk(
  port: number,
  path: string,
  headers: Headers,
  host = 'app.example',
): Promise<RawAnswer> {
  const lines = [
    `GET ${path} HTTP/1.1`,
    `Host: ${host}`,
    'Sec-Fetch-Mode: navigate',
    ...headers.map(([name, value]) => `${name}: ${value}`),
    ...(headers.some(([name]) => name === 'Connection') ? [] : ['Connection: close']),
  ]
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1')
    const chunks: Buffer[] = []
    socket.on('data', chunk => {
      chunks.push(chunk)
      if (isWhole(Buffer.concat(chunks).toString('latin1'))) socket.end()
    })
    socket.on('error', error => (chunks.length === 0 ? reject(error) : undefined))
    socket.on('close', () => {
      const text = Buffer.concat(chunks).toString('utf8')
      const status = Number(/^HTTP\/1\.[01] (\d{3}) /.exec(text)?.[1] ?? 599)
      const at = text.indexOf('{"method"')
      resolve({
        status,
        head: text.split('\r\n\r\n', 1)[0] ?? '',
        body: at === -1 ? '' : text.slice(at, text.lastIndexOf('}') + 1),
      })
    })
    socket.write(Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'))
  })
}

/** Some answers keep the connection: their end is seen from the length they announce, or from their last chunk. */
function isWhole(text: string): boolean {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return false
  const head = text.slice(0, end).toLowerCase()
  const length = /\r\ncontent-length: *(\d+)/.exec(head)?.[1]
  if (length !== undefined) return text.length >= end + 4 + Number(length)
  return head.includes('transfer-encoding: chunked') && text.endsWith('0\r\n\r\n')
}
