// An outpost behind a real listener, with a fake Core, a real session store, an upstream that tells what it received, and a browser
// with a cookie jar. Everything a test opens here is closed when the test ends.
import { mkdtemp, rm } from 'node:fs/promises'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from 'prom-client'
import type { AccessLine, AccessLog } from '../../src/http/access-log.ts'
import { createListener } from '../../src/http/listener.ts'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import { createLog } from '../../src/log.ts'
import { createOutpost, type Outpost, type OutpostOptions } from '../../src/proxy/outpost.ts'
import { createSessions, type Sessions } from '../../src/proxy/sessions/sessions.ts'
import { type SessionStore, StoreUnavailable } from '../../src/proxy/sessions/store.ts'
import { createFilesystemStore } from '../../src/proxy/sessions/store-filesystem.ts'
import type { FakeCore } from './fake-core.ts'

export interface Running {
  outpost: Outpost
  sessions: Sessions
  registry: Registry
  port: number
  /** log lines, parsed */
  lines: Record<string, unknown>[]
  access: AccessLine[]
  /** makes the session store unreachable, or reachable again */
  setStoreDown(down: boolean): void
}

/** Starts an outpost for this core and waits until it serves. */
export async function startOutpost(
  t: TestContext,
  core: FakeCore,
  options: Partial<OutpostOptions> & {
    store?: SessionStore
    leaseMs?: number
    core?: http.RequestListener
  } = {},
): Promise<Running> {
  const { store: given, core: coreHandler, ...rest } = options
  const lines: Record<string, unknown>[] = []
  const access: AccessLine[] = []
  const log = createLog({
    level: 'debug',
    logger: 'authentik.outpost',
    write: line => lines.push(JSON.parse(line)),
  })
  const accessLog: AccessLog = {
    write: line => access.push(line),
    append() {},
    setEnabled() {},
    flush: async () => {},
    close: async () => {},
  }
  const { store, setDown } = breakable(given ?? (await fileStore(t)))
  await store.prepare()
  const leaseMs = options.leaseMs ?? 2000
  const sessions = createSessions({ store, leaseMs, maxEntries: 1000, log })
  const registry = new Registry()
  const trusted = rest.trusted ?? createTrustedPeers(['127.0.0.0/8', '::1/128'])
  const outpost = createOutpost({
    link: core.link,
    embedded: false,
    sessions,
    version: '0.0.0-test',
    pushDelayMs: 0,
    retryMs: 5,
    ...{ log, accessLog, registry },
    ...rest,
    ...{ leaseMs, trusted },
  })
  const listener = await createListener({
    name: 'HTTP',
    listen: [{ host: '127.0.0.1', port: 0 }],
    handler(req, res) {
      if (outpost.handle(req, res)) return
      if (coreHandler === undefined) res.writeHead(599).end('not the outpost')
      else coreHandler(req, res)
    },
    upgrade(req, socket, head) {
      if (!outpost.upgrade(req, socket, head)) socket.end('HTTP/1.1 599 Not Ours\r\n\r\n')
    },
    ...{ trusted, log },
  })
  t.after(async () => {
    outpost.drain()
    await listener.close({ graceMs: 50 })
    await outpost.close()
  })
  await outpost.start()
  const port = listener.addresses[0]?.port ?? 0
  return { outpost, sessions, registry, port, lines, access, setStoreDown: setDown }
}

/** The filesystem store in a folder of its own. */
export async function fileStore(t: TestContext): Promise<SessionStore> {
  const directory = await mkdtemp(join(tmpdir(), 'postern-proxy-test-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return createFilesystemStore({ directory })
}

function breakable(store: SessionStore): { store: SessionStore; setDown(down: boolean): void } {
  let down = false
  const guarded = new Proxy(store, {
    get(target, name, receiver) {
      const value: unknown = Reflect.get(target, name, receiver)
      if (typeof value !== 'function' || name === 'close' || name === 'prepare') return value
      return async (...args: unknown[]) => {
        if (down) throw new StoreUnavailable('the test switched the store off')
        return value.apply(target, args)
      }
    },
  })
  return {
    store: guarded,
    setDown(value) {
      down = value
    },
  }
}

export interface Answer {
  status: number
  headers: http.IncomingHttpHeaders
  body: string
}

export interface Ask {
  port: number
  path?: string
  method?: string
  host?: string
  headers?: Record<string, string | string[]>
  /** as they are, instead of `headers` */
  rawHeaders?: string[]
  body?: string
}

/** One request on a connection of its own; redirects are not followed. */
export function ask({
  port,
  path = '/',
  method = 'GET',
  host,
  headers,
  rawHeaders,
  body,
}: Ask): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const all = rawHeaders ?? { ...(host === undefined ? {} : { host }), ...headers }
    const request = http.request({ host: '127.0.0.1', port, path, method, headers: all, agent: false }, res =>
      collect(res).then(
        text => resolve({ status: res.statusCode ?? 0, headers: res.headers, body: text }),
        reject,
      ),
    )
    request.on('error', reject)
    request.end(body)
  })
}

async function collect(res: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of res) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

export interface Browser {
  /** by name; changed by what the outpost answers */
  cookies: Map<string, { value: string; path: string }>
  get(url: string, headers?: Record<string, string>): Promise<Answer>
  /** Follows redirects from `url` through login and back until an answer that is none. */
  visit(url: string, headers?: Record<string, string>): Promise<Answer & { url: string; hops: string[] }>
}

/**
 * A browser whose every host is the outpost at `port`, except Core's.
 * @param ports other outposts, by host
 */
export function createBrowser(core: FakeCore, port: number, ports: Record<string, number> = {}): Browser {
  const cookies: Browser['cookies'] = new Map()
  const get = async (text: string, headers: Record<string, string> = {}) => {
    const url = new URL(text)
    const sent = [...cookies]
      .filter(
        ([, { path }]) =>
          url.pathname === path || url.pathname.startsWith(path.endsWith('/') ? path : `${path}/`),
      )
      .map(([name, { value }]) => `${name}=${value}`)
    const reply = await ask({
      port: ports[url.host] ?? port,
      path: url.pathname + url.search,
      host: url.host,
      headers: {
        'x-forwarded-proto': url.protocol.slice(0, -1),
        'sec-fetch-mode': 'navigate',
        ...(sent.length === 0 ? {} : { cookie: sent.join('; ') }),
        ...headers,
      },
    })
    keepCookies(cookies, reply)
    return reply
  }
  return {
    cookies,
    get,
    async visit(start, headers) {
      const hops: string[] = []
      let url = start
      for (let hop = 0; hop < 12; hop++) {
        const reply = await get(url, headers)
        const location = reply.headers.location
        if (location === undefined) return { ...reply, url, hops }
        hops.push(location)
        const next = new URL(location, url).href
        if (next.includes('/end-session/')) return { ...reply, url: next, hops }
        url = next.startsWith('https://core.example/') ? core.authorize(next) : next
      }
      throw new Error(`a circle: ${hops.join(' ')}`)
    },
  }
}

function keepCookies(cookies: Browser['cookies'], { headers }: Answer): void {
  for (const text of headers['set-cookie'] ?? []) {
    const [pair = '', ...attributes] = text.split('; ')
    const [name = '', ...value] = pair.split('=')
    const path = attributes.find(one => one.startsWith('Path='))?.slice(5) ?? '/'
    if (attributes.includes('Max-Age=0')) cookies.delete(name)
    else cookies.set(name, { value: value.join('='), path })
  }
}

/** An upstream on a free port. */
export async function startUpstream(
  t: TestContext,
  handler: (req: IncomingMessage, res: ServerResponse) => void = echo,
): Promise<{ url: string; port: number; server: http.Server; connections: () => number }> {
  const server = http.createServer(handler)
  let open = 0
  server.on('connection', socket => {
    open++
    socket.on('close', () => {
      open--
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, server, connections: () => open }
}

/** Answers with what it received, as JSON. */
export function echo(req: IncomingMessage, res: ServerResponse): void {
  const chunks: Buffer[] = []
  req.on('data', chunk => chunks.push(chunk as Buffer))
  req.on('end', () => {
    const { method, url, headers, rawHeaders } = req
    const body = Buffer.concat(chunks).toString('utf8')
    res.writeHead(200, { 'content-type': 'application/json' })
    res.end(JSON.stringify({ method, url, headers, rawHeaders, body }))
  })
}

/** Waits until the condition holds. */
export async function until(condition: () => boolean | Promise<boolean>, what = 'condition'): Promise<void> {
  const end = Date.now() + 30_000
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited in vain for: ${what}`)
    await sleep(10)
  }
}
