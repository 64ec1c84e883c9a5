// A development server for the pages: the built assets, the page shells under Core's policy, and canned answers.
// Run it (`node web/dev/server.ts`) to look at the pages without Core; the browser tests start it too.
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, normalize } from 'node:path'
import { text } from 'node:stream/consumers'
import type { PageData } from '../../src/wire/page.ts'
import { ensureWebBuilt, webDist } from '../build.ts'
import { flows } from './flows.ts'
import { applications, envelope, me, sessions } from './library.ts'
import { pagePolicy, pageShell } from './shell.ts'

/** What a test may look at and change while the server runs. */
export interface DevState {
  signedIn: boolean
  /** rows of the application list */
  applications: unknown[]
  sessions: ReturnType<typeof sessions>
  /** added to the brand of every page */
  brand: Partial<PageData['brand']>
  /** step each flow has reached */
  steps: Map<string, number>
  /** bodies of the executor's POSTs, in order */
  answers: Record<string, unknown>[]
  /** status every executor call is answered with, instead of a challenge */
  failWith: number
  /** `query` parameters of the executor calls */
  queries: string[]
}

export interface DevServer {
  url: string
  state: DevState
  close(): Promise<void>
}

const mimeTypes: Record<string, string> = {
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
}
const csrf = 'dev-csrf-token'

/** Starts the server on a loopback port (0 = any free one). The pages must have been built. */
export async function createDevServer({ port = 0 }: { port?: number } = {}): Promise<DevServer> {
  const state: DevState = {
    signedIn: false,
    applications,
    sessions: sessions(),
    brand: {},
    steps: new Map(),
    answers: [],
    failWith: 0,
    queries: [],
  }
  const server = createServer((request, response) => {
    handle(state, request, response).catch(() => response.destroy())
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(port, '127.0.0.1', resolve)
  await promise
  const close = async () => {
    const closed = Promise.withResolvers<void>()
    server.close(() => closed.resolve())
    server.closeAllConnections()
    await closed.promise
  }
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, state, close }
}

async function handle(state: DevState, request: IncomingMessage, response: ServerResponse): Promise<unknown> {
  const url = new URL(request.url ?? '/', 'http://dev')
  const path = url.pathname
  const flow = /^\/if\/flow\/([^/]+)\/$/.exec(path)?.[1]
  const executor = /^\/api\/v3\/flows\/executor\/([^/]+)\/$/.exec(path)?.[1]
  if (flow !== undefined) return sendPage(response, 'flow/main.tsx', flowPage(state, flow))
  if (path === '/if/user/') return sendPage(response, 'user/main.tsx', basePage(state))
  if (path.startsWith('/static/dist/')) return sendFile(response, path.slice('/static/dist/'.length))
  if (executor !== undefined) return execute(state, executor, url, request, response)
  if (path.startsWith('/api/v3/core/')) return core(state, path, request, response)
  if (path === '/flows/-/default/authentication/') return redirect(response, `/if/flow/login/${url.search}`)
  if (path === '/flows/-/default/invalidation/') {
    state.signedIn = false
    return redirect(response, '/if/flow/session-end/')
  }
  if (path === '/flows/-/cancel/') {
    state.steps.clear()
    return redirect(response, url.searchParams.get('next') ?? '/')
  }
  if (path === '/received') return sendText(response, 200, await text(request))
  if (path.startsWith('/launched/')) return sendText(response, 200, path)
  return sendText(response, 404, 'not found')
}

async function execute(
  state: DevState,
  slug: string,
  url: URL,
  request: IncomingMessage,
  response: ServerResponse,
) {
  const flow = flows[slug]
  state.queries.push(url.searchParams.get('query') ?? '')
  if (state.failWith !== 0 || flow === undefined)
    return sendText(response, state.failWith || 404, 'no such thing')
  let errors: Record<string, unknown> | undefined
  if (request.method === 'POST') {
    if (request.headers['x-authentik-csrf'] !== csrf)
      return sendJson(response, 403, { detail: 'CSRF Failed' })
    const answer = JSON.parse(await text(request)) as Record<string, unknown>
    state.answers.push(answer)
    const at = state.steps.get(slug) ?? 0
    const step = flow.steps[at]
    if (answer.component === step?.challenge.component) {
      errors = step?.judge?.(answer)
      if (errors === undefined) state.steps.set(slug, Math.min(at + 1, flow.steps.length - 1))
    }
  }
  const shown = flow.steps[state.steps.get(slug) ?? 0]?.challenge ?? {}
  const info = { title: flow.title, background: '', cancel_url: '/flows/-/cancel/', layout: 'stacked' }
  const challenge: Record<string, unknown> = { flow_info: info, ...shown }
  if (errors !== undefined) challenge.response_errors = errors
  if (challenge.component === 'xak-flow-redirect') {
    state.steps.delete(slug)
    state.signedIn = true
    const page = new URLSearchParams(url.searchParams.get('query') ?? '')
    if (challenge.to === '') challenge.to = page.get('next') ?? '/if/user/'
  }
  return sendJson(response, 200, challenge)
}

function core(
  state: DevState,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): ServerResponse {
  if (!state.signedIn) {
    return sendJson(response, 403, { detail: 'Sign in first.', code: 'not_authenticated' })
  }
  if (path === '/api/v3/core/users/me/') return sendJson(response, 200, me)
  if (path === '/api/v3/core/applications/') return sendJson(response, 200, envelope(state.applications))
  const session = /^\/api\/v3\/core\/authenticated_sessions\/(?:([^/]+)\/)?$/.exec(path)
  if (session === null) return sendText(response, 404, 'not found')
  if (request.method !== 'DELETE') return sendJson(response, 200, envelope(state.sessions))
  if (request.headers['x-authentik-csrf'] !== csrf) return sendJson(response, 403, { detail: 'CSRF Failed' })
  if (state.sessions.some(row => row.uuid === session[1] && row.current)) state.signedIn = false
  state.sessions = state.sessions.filter(row => row.uuid !== session[1])
  return response.writeHead(204, common).end()
}

function basePage(state: DevState): PageData {
  const brand = {
    branding_title: 'Postern',
    branding_logo: '',
    branding_favicon: '',
    default_flow_background: '',
    ...state.brand,
  }
  return { brand, csrf_cookie: 'authentik_csrf', version: '0.1.0', theme: 'automatic' }
}

function flowPage(state: DevState, slug: string): PageData {
  return { ...basePage(state), flow: { slug, title: flows[slug]?.title ?? '', layout: 'stacked' } }
}

async function sendPage(response: ServerResponse, entry: string, page: PageData): Promise<void> {
  const nonce = randomBytes(16).toString('base64')
  const html = await pageShell(entry, page, nonce)
  response.writeHead(200, {
    ...common,
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': pagePolicy(nonce),
    'set-cookie': `authentik_csrf=${csrf}; Path=/; SameSite=Lax`,
  })
  response.end(html)
}

async function sendFile(response: ServerResponse, name: string): Promise<ServerResponse> {
  const file = join(webDist, normalize(`/${name}`))
  const found = await stat(file).catch(() => undefined)
  if (found?.isFile() !== true) return sendText(response, 404, 'not found')
  response.writeHead(200, { 'content-type': mimeTypes[extname(file)] ?? 'application/octet-stream' })
  return createReadStream(file).pipe(response)
}

const common = { 'x-authentik-id': '0123456789abcdef0123456789abcdef', 'cache-control': 'no-store' }

function sendJson(response: ServerResponse, status: number, body: unknown): ServerResponse {
  return response
    .writeHead(status, { ...common, 'content-type': 'application/json' })
    .end(JSON.stringify(body))
}

function sendText(response: ServerResponse, status: number, body: string): ServerResponse {
  return response.writeHead(status, { ...common, 'content-type': 'text/plain; charset=utf-8' }).end(body)
}

function redirect(response: ServerResponse, to: string): ServerResponse {
  return response.writeHead(302, { ...common, location: to }).end()
}

if (import.meta.main) {
  const say = (line: string) => process.stdout.write(`${line}\n`)
  await ensureWebBuilt({ log: { info: say, warning: say } })
  const server = await createDevServer()
  say(`${server.url}/if/flow/login/  (alice, “correct horse”)`)
  for (const slug of Object.keys(flows)) say(`${server.url}/if/flow/${slug}/`)
  process.once('SIGINT', () => void server.close())
}
