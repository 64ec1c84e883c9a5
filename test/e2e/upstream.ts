// The application behind the outposts: it tells what it was asked, and can take its time.
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'

export interface Upstream {
  url: string
  port: number
  /** Requests for `/slow` that wait for `release`. */
  waiting(): number
  /** Lets them end. */
  release(): void
}

export interface Seen {
  url: string
  headers: IncomingHttpHeaders
}

/** Starts it on a free port; every answer but that to `/slow` is a `Seen` as JSON. */
export async function startUpstream(t: TestContext): Promise<Upstream> {
  const held = new Set<() => void>()
  const server = createServer((request, response) => {
    if (request.url === '/slow') {
      response.writeHead(200, { 'Content-Type': 'text/plain' }).write('begin ')
      held.add(() => response.end('end'))
      return
    }
    const seen: Seen = { url: request.url ?? '', headers: request.headers }
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(seen))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    waiting: () => held.size,
    release() {
      for (const end of held) end()
      held.clear()
    },
  }
}
