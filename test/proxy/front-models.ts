// Traefik and Envoy as their documentation describes them, each reading the file of examples/ that operators copy: they are in no
// package registry, so the contract is tested with clients of our own. What a model does not know in a file is an error.
import { readFile } from 'node:fs/promises'
import http, { type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { parse } from 'yaml'
import type { FrontOptions } from './front-programs.ts'

const examples = join(import.meta.dirname, '../../examples')

type Header = [string, string]

interface Asked {
  status: number
  headers: Header[]
  body: Buffer
}

/** Traefik 3 with ForwardAuth and the routers of examples/traefik. */
export async function startTraefik(t: TestContext, options: FrontOptions): Promise<void> {
  const { http: config } = parse(await readFile(join(examples, 'traefik/dynamic.yml'), 'utf8')) as {
    http: {
      middlewares: { postern: { forwardAuth: Record<string, string | boolean> } }
      routers: Record<string, { rule: string; middlewares?: string[]; priority: number; service: string }>
    }
  }
  const { address, authResponseHeadersRegex, trustForwardHeader, ...unknown } =
    config.middlewares.postern.forwardAuth
  if (Object.keys(unknown).length > 0 || trustForwardHeader !== false) throw new Error('not in this model')
  const copied = patternOf(String(authResponseHeadersRegex))
  const routers = Object.values(config.routers).sort((a, b) => b.priority - a.priority)
  const { pathname } = new URL(String(address))
  await serve(t, options, async (req, res) => {
    const [host = ''] = (req.headers.host ?? '').split(':')
    const router = routers.find(({ rule }) => matches(rule, host, req.url ?? '', options.hosts))
    if (router === undefined) return void res.writeHead(404).end()
    const listed = listedIn(req)
    let headers = headersOf(req).filter(([name]) => !listed.has(name.toLowerCase()))
    if (router.middlewares !== undefined) {
      const forwarded: Header[] = [
        ...headers.filter(([name]) => !/^(?:x-forwarded-.*|content-length|upgrade|host)$/i.test(name)),
        ...([
          ['X-Forwarded-Method', req.method ?? ''],
          ['X-Forwarded-Proto', 'http'],
          ['X-Forwarded-Host', req.headers.host ?? ''],
          ['X-Forwarded-Uri', req.url ?? ''],
          ['X-Forwarded-For', '127.0.0.1'],
        ] as Header[]),
      ]
      const verdict = await ask(options, 'GET', pathname, `127.0.0.1:${options.outpostPort}`, forwarded)
      if (verdict === null) return void res.writeHead(500).end()
      if (verdict.status < 200 || verdict.status > 299) return answer(res, verdict, verdict.headers)
      headers = headers.filter(([name]) => !copied.test(name))
      headers.push(...verdict.headers.filter(([name]) => copied.test(name)))
    }
    const port = router.service === 'postern' ? options.outpostPort : options.upstreamPort
    pass(req, res, port, [
      ...headers.filter(([name]) => !/^x-forwarded-(?:host|proto|uri)$/i.test(name)),
      ...own(req),
    ])
  })
}

function own(req: IncomingMessage): Header[] {
  return [
    ['X-Forwarded-Host', req.headers.host ?? ''],
    ['X-Forwarded-Proto', 'http'],
  ]
}

/** A rule of Host and PathPrefix, some with `!`, all joined by `&&`. */
function matches(rule: string, host: string, path: string, hosts: string[]): boolean {
  return rule.split(' && ').every(part => {
    const [, not, name, value = ''] = /^(!?)(Host|PathPrefix)\(`([^`]+)`\)$/.exec(part) ?? []
    if (name === undefined) throw new Error(`${part} is not in this model`)
    const is = name === 'Host' ? hosts.includes(host) : path.startsWith(value)
    return is === (not === '')
  })
}

/** Go's way of saying that case does not count. */
function patternOf(text: string): RegExp {
  return text.startsWith('(?i)') ? new RegExp(text.slice(4), 'i') : new RegExp(text)
}

interface Patterns {
  patterns: { exact?: string; prefix?: string }[]
}

interface EnvoyRoute {
  match: { prefix: string }
  route?: { cluster: string }
  direct_response?: { status: number }
  typed_per_filter_config?: Record<string, { disabled: boolean }>
}

/** Envoy with HTTP ext_authz and the routes of examples/envoy; its Lua filter is none of this. */
export async function startEnvoy(t: TestContext, options: FrontOptions): Promise<void> {
  const { http_connection_manager: manager } = parse(
    await readFile(join(examples, 'envoy/ext-authz.yml'), 'utf8'),
  ) as {
    http_connection_manager: {
      common_http_protocol_options: { headers_with_underscores_action: string }
      route_config: { virtual_hosts: { routes: EnvoyRoute[] }[] }
      http_filters: { name: string; typed_config: Record<string, unknown> }[]
    }
  }
  const { http_service: service } = (manager.http_filters[0]?.typed_config ?? {}) as {
    http_service: {
      path_prefix: string
      authorization_request: { allowed_headers: Patterns }
      authorization_response: Record<string, Patterns>
    }
  }
  const says = (which: Patterns | undefined) => (name: string) =>
    which?.patterns.some(({ exact, prefix }) =>
      exact === undefined
        ? prefix !== undefined && name.toLowerCase().startsWith(prefix)
        : name.toLowerCase() === exact,
    ) === true
  const asked = says(service.authorization_request.allowed_headers)
  const { allowed_upstream_headers, allowed_client_headers } = service.authorization_response
  const [upstream, client] = [says(allowed_upstream_headers), says(allowed_client_headers)]
  const rejects = manager.common_http_protocol_options.headers_with_underscores_action === 'REJECT_REQUEST'
  const routes = manager.route_config.virtual_hosts[0]?.routes ?? []
  await serve(t, options, async (req, res) => {
    const path = req.url ?? ''
    let headers = headersOf(req).filter(([name]) => !/^(?:x-forwarded-proto|connection)$/i.test(name))
    if (!path.startsWith('/') || (rejects && headers.some(([name]) => name.includes('_'))))
      return void res.writeHead(400).end()
    headers.push(['x-forwarded-proto', 'http'])
    const route = routes.find(({ match }) => path.startsWith(match.prefix))
    if (route === undefined) return void res.writeHead(404).end()
    if (route.typed_per_filter_config?.['envoy.filters.http.ext_authz']?.disabled !== true) {
      const sent = headers.filter(([name]) => asked(name))
      const target = service.path_prefix + path
      const verdict = await ask(options, req.method ?? '', target, req.headers.host ?? '', sent)
      if (verdict === null) return void res.writeHead(403).end()
      if (verdict.status !== 200)
        return answer(
          res,
          verdict,
          verdict.headers.filter(([name]) => client(name)),
        )
      const set = verdict.headers.filter(([name]) => upstream(name))
      const names = new Set(set.map(([name]) => name.toLowerCase()))
      headers = [...headers.filter(([name]) => !names.has(name.toLowerCase())), ...set]
    }
    if (route.direct_response !== undefined) return void res.writeHead(route.direct_response.status).end()
    pass(req, res, route.route?.cluster === 'postern' ? options.outpostPort : options.upstreamPort, headers)
  })
}

/** The front: its requests, and upgrades as requests whose socket is handed over. */
async function serve(
  t: TestContext,
  { port }: FrontOptions,
  handler: (req: IncomingMessage, res: ServerResponse) => Promise<void>,
): Promise<void> {
  const server = http.createServer((req, res) => {
    handler(req, res).catch(() => res.destroy())
  })
  server.on('upgrade', (req, socket) => {
    socket.on('error', () => {})
    const res = new http.ServerResponse(req)
    res.assignSocket(req.socket)
    res.on('finish', () => socket.end())
    handler(req, res).catch(() => socket.destroy())
  })
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
}

function ask(
  { outpostPort, waitMs = 10_000 }: FrontOptions,
  method: string,
  path: string,
  host: string,
  headers: Header[],
): Promise<Asked | null> {
  return new Promise(resolve => {
    const flat = ['Host', host, ...headers.flat()]
    const request = http.request(
      { host: '127.0.0.1', port: outpostPort, method, path, headers: flat, agent: false },
      reply => {
        const chunks: Buffer[] = []
        reply.on('data', chunk => chunks.push(chunk as Buffer))
        reply.on('error', () => resolve(null))
        reply.on('end', () =>
          resolve({ status: reply.statusCode ?? 0, headers: headersOf(reply), body: Buffer.concat(chunks) }),
        )
      },
    )
    request.setTimeout(waitMs, () => request.destroy())
    request.on('error', () => resolve(null))
    request.end()
  })
}

function answer(res: ServerResponse, { status, body }: Asked, headers: Header[]): void {
  const framing = /^(?:content-length|transfer-encoding|connection|keep-alive)$/i
  res.writeHead(status, headers.filter(([name]) => !framing.test(name)).flat()).end(body)
}

/** Passes a request on as it is, but for its headers. */
function pass(req: IncomingMessage, res: ServerResponse, port: number, headers: Header[]): void {
  const isUpgrade = req.headers.upgrade !== undefined
  const flat = headers
    .filter(([name]) => !/^(?:connection|upgrade|content-length|transfer-encoding)$/i.test(name))
    .flat()
  if (isUpgrade) flat.push('Connection', 'Upgrade', 'Upgrade', req.headers.upgrade ?? '')
  const length = req.headers['content-length']
  if (length !== undefined) flat.push('Content-Length', length)
  const options = { host: '127.0.0.1', port, method: req.method, path: req.url, headers: flat, agent: false }
  const request = http.request(options, reply => {
    res.writeHead(reply.statusCode ?? 502, outgoing(reply))
    reply.pipe(res)
  })
  request.on('upgrade', (reply, far, first) => {
    const head = headersOf(reply).map(([name, value]) => `${name}: ${value}\r\n`)
    req.socket.write(`HTTP/1.1 101 Switching Protocols\r\n${head.join('')}\r\n`)
    req.socket.write(first)
    far.on('error', () => {})
    far.pipe(req.socket).pipe(far)
  })
  request.on('error', () => (res.headersSent ? res.destroy() : res.writeHead(502).end()))
  req.pipe(request)
}

function outgoing(reply: IncomingMessage): OutgoingHttpHeaders {
  const { connection: _, 'keep-alive': __, 'transfer-encoding': ___, ...headers } = reply.headers
  return headers
}

function headersOf({ rawHeaders }: IncomingMessage): Header[] {
  return rawHeaders.flatMap((name, at) => (at % 2 === 0 ? [[name, rawHeaders[at + 1] ?? ''] as Header] : []))
}

/** What the Connection header says to be for this hop only; removed before anything is added. */
function listedIn(req: IncomingMessage): Set<string> {
  return new Set((req.headers.connection ?? '').split(',').map(name => name.trim().toLowerCase()))
}
