// What stands between an outpost and Core when messages get lost: everything passes, except the frames it is told to drop.
import http, { type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import WebSocket, { WebSocketServer } from 'ws'

export interface FrameRelay {
  /** for AUTHENTIK_HOST */
  url: string
  /** frames dropped so far */
  dropped(): number
  close(): void
}

/**
 * Relays HTTP and the outposts' WebSockets to Core.
 * @param core origin
 * @param drop whether a frame of Core's is lost
 */
export async function startFrameRelay(core: string, drop: (frame: string) => boolean): Promise<FrameRelay> {
  const { port } = new URL(core)
  const sockets = new WebSocketServer({ noServer: true })
  let dropped = 0
  const server = http.createServer((req, res) => {
    const { method, url: path, headers } = req
    const onward = http.request({ host: '127.0.0.1', port, method, path, headers, agent: false }, answer => {
      res.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(res)
    })
    onward.on('error', () => res.destroy())
    req.pipe(onward)
  })
  server.on('upgrade', (req, socket, head) => {
    const onward = new WebSocket(`ws://127.0.0.1:${port}${req.url}`, { headers: carried(req) })
    onward.on('error', () => socket.destroy())
    onward.on('open', () =>
      sockets.handleUpgrade(req, socket, head, outpost => {
        join(outpost, onward, () => true)
        join(onward, outpost, text => {
          if (drop(text)) dropped++
          else return true
          return false
        })
      }),
    )
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    dropped: () => dropped,
    close() {
      for (const socket of sockets.clients) socket.terminate()
      sockets.close()
      server.closeAllConnections()
      server.close()
    },
  }
}

function carried({ headers }: IncomingMessage): Record<string, string> {
  const { authorization = '', 'user-agent': agent = '' } = headers
  return { authorization, 'user-agent': agent }
}

/** @param passes judges each frame */
function join(from: WebSocket, to: WebSocket, passes: (text: string) => boolean): void {
  from.on('message', data => {
    const text = String(data)
    if (to.readyState === WebSocket.OPEN && passes(text)) to.send(text)
  })
  from.on('close', () => to.terminate())
  from.on('error', () => to.terminate())
}
