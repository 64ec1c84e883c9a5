// What we are compared with: a default HTTP server with a short answer, an upstream of 1 KiB, and a default undici proxy.
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { Agent } from 'undici'
import { serveBench } from './bench-process.ts'

export interface BareArgs {
  /** a judge says yes without a word, so that nginx can go on using its connection */
  kind: 'short' | 'judge' | 'upstream' | 'proxy'
  /** of the upstream, for `proxy` */
  port?: number
}

await serveBench<BareArgs, { port: number }>(async ({ kind, port: upstream = 0 }) => {
  const server = http.createServer(kind === 'proxy' ? proxyTo(upstream) : answering(kind))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    about: { port: (server.address() as AddressInfo).port },
    close: async () => {
      server.closeAllConnections()
      server.close()
    },
  }
})

function answering(kind: 'short' | 'judge' | 'upstream'): http.RequestListener {
  if (kind === 'short')
    return (_req, res) => {
      res.writeHead(200)
      res.end('ok')
    }
  const body = Buffer.alloc(kind === 'judge' ? 0 : 1024, 'x')
  const headers = ['Content-Type', 'text/plain', 'Content-Length', String(body.length)]
  return (_req, res) => {
    res.writeHead(200, headers)
    res.end(body)
  }
}

function proxyTo(port: number): http.RequestListener {
  const agent = new Agent({ connections: 64 })
  const origin = `http://127.0.0.1:${port}`
  return (req, res) => {
    const hasBody = 'content-length' in req.headers || 'transfer-encoding' in req.headers
    agent.dispatch(
      { origin, path: req.url ?? '/', method: 'GET', headers: req.headers, body: hasBody ? req : null },
      {
        onRequestStart() {},
        onResponseStart(_controller, status, headers) {
          if (status >= 200) res.writeHead(status, headers)
        },
        onResponseData(controller, chunk) {
          if (res.write(chunk)) return
          controller.pause()
          res.once('drain', () => controller.resume())
        },
        onResponseEnd() {
          res.end()
        },
        onResponseError() {
          res.destroy()
        },
      },
    )
  }
}
