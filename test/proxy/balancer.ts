// A balancer as careless as they come: every request goes to any of the replicas, sick or well, and nothing is tried twice.
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import net, { type AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TestContext } from 'node:test'

/** @param ports of the replicas; may be changed while it runs. @returns its own port */
export async function startBalancer(t: TestContext, ports: readonly number[]): Promise<number> {
  const server = http.createServer((req, res) => pass(req, res, anyOf(ports)))
  const sockets = new Set<Duplex>()
  server.on('upgrade', (req, socket, head) => {
    sockets.add(socket.once('close', () => sockets.delete(socket)))
    tunnel(req, socket, head, anyOf(ports))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

function anyOf(ports: readonly number[]): number {
  return ports[Math.floor(Math.random() * ports.length)] ?? 0
}

function pass(req: IncomingMessage, res: ServerResponse, port: number): void {
  const { method, url: path, rawHeaders } = req
  const headers = withoutConnection(rawHeaders)
  const request = http.request({ host: '127.0.0.1', port, method, path, headers, agent: false }, answer => {
    res.writeHead(answer.statusCode ?? 502, answer.rawHeaders)
    answer.on('error', () => res.destroy())
    answer.pipe(res)
  })
  request.on('error', () => {
    if (res.headersSent) res.destroy()
    else res.writeHead(502).end('no replica there')
  })
  req.pipe(request)
}

function withoutConnection(raw: readonly string[]): string[] {
  return raw.filter((_, at) => raw[at - (at % 2)]?.toLowerCase() !== 'connection')
}

function tunnel(req: IncomingMessage, socket: Duplex, head: Buffer, port: number): void {
  const upstream = net.connect({ host: '127.0.0.1', port })
  const end = () => {
    socket.destroy()
    upstream.destroy()
  }
  socket.on('error', end).on('close', end)
  upstream.on('close', end).on('error', () => {
    if (upstream.bytesRead === 0) socket.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n')
    end()
  })
  upstream.on('connect', () => {
    let text = `${req.method} ${req.url} HTTP/1.1\r\n`
    for (let at = 0; at < req.rawHeaders.length; at += 2)
      text += `${req.rawHeaders[at]}: ${req.rawHeaders[at + 1]}\r\n`
    upstream.write(`${text}\r\n`, 'latin1')
    upstream.write(head)
    upstream.pipe(socket).pipe(upstream)
  })
}
