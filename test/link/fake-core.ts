// As much of Core as an outpost's link talks to: a real HTTP and WebSocket server on loopback, with switches for what can go
// wrong. It judges requests as Core does and keeps what it was asked.
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Frame } from '../../src/wire/frames.ts'

export interface SeenRequest {
  method: string
  url: string
  headers: IncomingMessage['headers']
  body: string
}

export interface FakeCore {
  /** base URL, without a path */
  url: string
  /** in front of every path, e.g. `/sso` */
  prefix: string
  token: string
  instance: Record<string, unknown> | null
  providers: Record<string, unknown>[]
  certificate: { uuid: string; fingerprint: string; certificate: string; key: string } | null
  /** What the next requests get instead of an answer, when it returns something. */
  instead: (request: SeenRequest) => { status: number; body?: unknown } | 'nothing' | undefined
  /** HTTP status every WebSocket is refused with, or null. */
  refuseSockets: number | null
  /** Whether HELLO is answered. */
  acknowledges: boolean
  requests: SeenRequest[]
  upgrades: SeenRequest[]
  frames: Frame[]
  events: unknown[]
  sockets: Set<WebSocket>
  /** TLS names the clients asked for */
  serverNames: string[]
  push(frame: Frame | string): void
}

export const outpostId = '7f3a1b52-9c1d-4e0f-8a2b-5d6c7e8f9a0b'

/** Starts it; the test's end stops it. */
export async function startFakeCore(t: TestContext, tls?: { key: string; cert: string }): Promise<FakeCore> {
  const sockets = new WebSocketServer({ noServer: true })
  const connections = new Set<Socket>()
  const core: FakeCore = {
    ...{
      url: '',
      prefix: '',
      token: 'the-token',
      providers: [],
      certificate: null,
      instance: someInstance(),
    },
    ...{ instead: () => undefined, refuseSockets: null, acknowledges: true },
    ...{ requests: [], upgrades: [], frames: [], events: [], serverNames: [], sockets: sockets.clients },
    push: frame => {
      for (const socket of sockets.clients)
        socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
    },
  }
  const handle = (request: IncomingMessage, response: ServerResponse) => void answer(core, request, response)
  const server =
    tls === undefined
      ? createHttpServer(handle)
      : createHttpsServer(
          {
            ...tls,
            SNICallback: (name, done) => {
              core.serverNames.push(name)
              done(null)
            },
          },
          handle,
        )
  server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
    connections.add(socket)
    socket.on('close', () => connections.delete(socket))
  })
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.on('error', () => {}) // a client may leave while it is refused
    core.upgrades.push(seen(request, ''))
    const known = request.headers.authorization === `Bearer ${core.token}`
    const path = new URL(request.url ?? '', core.url).pathname
    const status =
      core.refuseSockets ?? (known && path === `${core.prefix}/ws/outpost/${outpostId}/` ? null : 403)
    if (status !== null) return void socket.end(`HTTP/1.1 ${status} Refused\r\nconnection: close\r\n\r\n`)
    sockets.handleUpgrade(request, socket, head, webSocket => listen(core, webSocket))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  core.url = tls === undefined ? `http://127.0.0.1:${port}` : `https://localhost:${port}`
  t.after(async () => {
    for (const socket of sockets.clients) socket.terminate()
    for (const connection of connections) connection.destroy()
    await new Promise(resolve => server.close(resolve))
  })
  return core
}

/** A row of `outposts/instances/` with keys an outpost does not know. */
export function someInstance(config: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    ...{
      pk: outpostId,
      name: 'Standalone',
      managed: null,
      refresh_interval_s: 300,
      type: 'proxy',
      providers: [1],
    },
    config: { authentik_host: 'https://auth.example.com/', log_level: 'info', new_key: 1, ...config },
  }
}

/** A row of `outposts/proxy/`. @param core whose addresses it carries */
export function someProviderRow(core: FakeCore, pk: number): Record<string, unknown> {
  const base = `${core.url}${core.prefix}/application/o`
  const slug = `app-${pk}`
  return {
    ...{
      pk,
      name: `Provider ${pk}`,
      external_host: `https://app-${pk}.example.com`,
      internal_host: 'http://up:80',
    },
    ...{
      internal_host_ssl_validation: true,
      client_id: `client-${pk}`,
      client_secret: 's',
      cookie_secret: 'c',
    },
    oidc_configuration: {
      ...{ issuer: `${base}/${slug}/`, authorization_endpoint: `${base}/authorize/` },
      ...{ token_endpoint: `${base}/token/`, userinfo_endpoint: `${base}/userinfo/` },
      ...{
        end_session_endpoint: `${base}/${slug}/end-session/`,
        introspection_endpoint: `${base}/introspect/`,
      },
      ...{ jwks_uri: `${base}/${slug}/jwks/`, response_types_supported: ['code'] },
      ...{ id_token_signing_alg_values_supported: ['HS256'], subject_types_supported: ['public'] },
      token_endpoint_auth_methods_supported: ['client_secret_post'],
    },
    ...{ certificate: null, skip_path_regex: '', basic_auth_enabled: false, basic_auth_user_attribute: '' },
    ...{
      basic_auth_password_attribute: '',
      mode: 'forward_single',
      cookie_domain: '',
      access_token_validity: 3600,
    },
    ...{ intercept_header_auth: true, scopes_to_request: ['openid'], assigned_application_slug: slug },
    ...{ assigned_application_name: `App ${pk}`, some_new_key: { of: 'a newer Core' } },
  }
}

async function answer(core: FakeCore, request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = ''
  for await (const chunk of request) body += chunk
  const asked = seen(request, body)
  core.requests.push(asked)
  const instead = core.instead(asked)
  if (instead === 'nothing') return
  const { status, body: json } = instead ?? route(core, asked)
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(json === undefined ? '' : JSON.stringify(json))
}

function route(
  core: FakeCore,
  { method, url, headers, body }: SeenRequest,
): { status: number; body?: unknown } {
  const { pathname, searchParams } = new URL(url, core.url)
  if (!pathname.startsWith(core.prefix)) return { status: 404, body: { detail: 'Not found.' } }
  const path = pathname.slice(core.prefix.length)
  if (path.startsWith('/application/o/')) return oauth(core, path, body)
  if (path === '/api/v3/root/config/')
    return {
      status: 200,
      body: { error_reporting: { enabled: false, sentry_dsn: '' }, cache_timeout_flows: 300 },
    }
  if (headers.authorization !== `Bearer ${core.token}`)
    return { status: 403, body: { detail: 'Token invalid/expired' } }
  if (path === '/api/v3/outposts/instances/')
    return page(core.instance === null ? [] : [core.instance], searchParams)
  if (path === '/api/v3/outposts/proxy/') return page(core.providers, searchParams)
  if (path === '/api/v3/events/events/' && method === 'POST') {
    core.events.push(JSON.parse(body))
    return { status: 201, body: {} }
  }
  const pair = core.certificate
  const base = `/api/v3/crypto/certificatekeypairs/${pair?.uuid}/`
  if (pair !== null && path === base) return { status: 200, body: { fingerprint_sha256: pair.fingerprint } }
  if (pair !== null && path === `${base}view_certificate/`)
    return { status: 200, body: { data: pair.certificate } }
  if (pair !== null && path === `${base}view_private_key/`) return { status: 200, body: { data: pair.key } }
  return { status: 404, body: { detail: 'Not found.' } }
}

function oauth(core: FakeCore, path: string, body: string): { status: number; body: unknown } {
  if (path.endsWith('/jwks/')) return { status: 200, body: { keys: [] } }
  const form = new URLSearchParams(body)
  if (path === '/application/o/introspect/') return { status: 200, body: { active: false } }
  if (path === '/application/o/token/' && form.get('code') === 'good')
    return { status: 200, body: { access_token: `for ${core.url}`, token_type: 'Bearer' } }
  return { status: 400, body: { error: 'invalid_grant' } }
}

function page(rows: unknown[], query: URLSearchParams): { status: number; body: unknown } {
  const size = Math.min(Number(query.get('page_size') ?? 20), 100)
  const current = Number(query.get('page') ?? 1)
  const total = Math.max(1, Math.ceil(rows.length / size))
  if (current > total) return { status: 404, body: { detail: 'Invalid page.' } }
  const results = rows.slice((current - 1) * size, current * size)
  const pagination = {
    ...{ next: current < total ? current + 1 : 0, previous: current - 1, count: rows.length, current },
    ...{
      total_pages: total,
      start_index: results.length && (current - 1) * size + 1,
      end_index: rows.length,
    },
  }
  return { status: 200, body: { pagination, results, autocomplete: {} } }
}

function listen(core: FakeCore, socket: WebSocket): void {
  socket.on('message', data => {
    const frame = JSON.parse(String(data)) as Frame
    core.frames.push(frame)
    if (frame.instruction !== 0 && core.acknowledges) socket.send('{"instruction":0,"args":{}}')
  })
}

function seen(request: IncomingMessage, body: string): SeenRequest {
  return { method: request.method ?? '', url: request.url ?? '', headers: request.headers, body }
}
