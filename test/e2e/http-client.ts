// A browser without a window: cookies by host and path, redirects, and the calls the flow page makes. Every host is this machine,
// as `*.localhost` is for browsers.
import { once } from 'node:events'
import { type IncomingHttpHeaders, request } from 'node:http'

export interface Reply {
  status: number
  headers: IncomingHttpHeaders
  body: string
  /** the address asked */
  url: string
}

export interface Challenge {
  component: string
  /** where a redirect leads */
  to?: string
  /** what an answer must repeat */
  token?: string
}

interface Cookie {
  name: string
  value: string
  host: string
  /** sent to hosts below `host` as well */
  wide: boolean
  path: string
}

export interface Client {
  readonly cookies: Cookie[]
  /** One request, redirects not followed. A string body is sent as JSON. */
  ask(
    url: string,
    options?: { method?: string; headers?: Record<string, string>; body?: string },
  ): Promise<Reply>
  /** GET, following redirects to the first answer that is none. */
  visit(url: string): Promise<Reply>
  /** Opens `url`, signs in where that leads to the login page, and goes on to the end. */
  signIn(url: string, username: string, password: string): Promise<Reply>
  /** What the flow page at that address is shown, or with `body` what comes after that answer. */
  challenge(page: string, body?: object): Promise<Challenge>
  /** The same cookies, from now on its own. */
  copy(): Client
}

const maxHops = 15

export function createClient(cookies: Cookie[] = []): Client {
  async function ask(
    url: string,
    {
      method = 'GET',
      headers = {},
      body,
    }: { method?: string; headers?: Record<string, string>; body?: string } = {},
  ): Promise<Reply> {
    const to = new URL(url)
    const sent: Record<string, string> = { Host: to.host, Accept: 'text/html', ...headers }
    const mine = cookies.filter(cookie => belongs(cookie, to))
    if (mine.length > 0) sent.Cookie = mine.map(({ name, value }) => `${name}=${value}`).join('; ')
    if (body !== undefined) sent['Content-Type'] ??= 'application/json'
    const asked = request({
      host: '127.0.0.1',
      port: to.port || 80,
      method,
      path: `${to.pathname}${to.search}`,
      headers: sent,
      agent: false,
    })
    asked.end(body)
    const [answer] = await once(asked, 'response')
    let text = ''
    for await (const chunk of answer.setEncoding('utf8')) text += chunk
    for (const line of answer.headers['set-cookie'] ?? []) keep(cookies, to, line)
    return { status: answer.statusCode ?? 0, headers: answer.headers, body: text, url }
  }

  async function visit(url: string): Promise<Reply> {
    const hops: string[] = []
    for (let at = url; ; ) {
      const reply = await ask(at)
      hops.push(`${reply.status} ${at}`)
      const { location } = reply.headers
      if (reply.status < 300 || reply.status >= 400 || location === undefined) return reply
      if (hops.length > maxHops) throw new Error(`too many redirects:\n${hops.join('\n')}`)
      at = new URL(location, at).href
    }
  }

  async function challengeOf(page: string, body?: object): Promise<Challenge> {
    const { origin, hostname, pathname, search } = new URL(page)
    const flow = /^\/if\/flow\/([^/]+)\/$/.exec(pathname)?.[1]
    if (flow === undefined) throw new Error(`${page} is no flow page`)
    const csrf = cookies.find(({ name, host }) => name === 'authentik_csrf' && host === hostname)
    const answer = await ask(
      `${origin}/api/v3/flows/executor/${flow}/?query=${encodeURIComponent(search.slice(1))}`,
      {
        method: body === undefined ? 'GET' : 'POST',
        headers: { Accept: 'application/json', 'X-authentik-CSRF': csrf?.value ?? '', Origin: origin },
        body: body === undefined ? undefined : JSON.stringify(body),
      },
    )
    return JSON.parse(answer.body) as Challenge
  }

  return {
    cookies,
    ask,
    visit,
    challenge: challengeOf,
    async signIn(url, username, password) {
      const page = await visit(url)
      const stage = { component: 'ak-stage-identification', uid_field: username, password }
      const challenge = await challengeOf(page.url, stage)
      if (challenge.component !== 'xak-flow-redirect' || challenge.to === undefined)
        throw new Error(`not signed in: ${JSON.stringify(challenge)}`)
      return visit(new URL(challenge.to, page.url).href)
    },
    copy: () => createClient(cookies.map(cookie => ({ ...cookie }))),
  }
}

function belongs({ host, wide, path }: Cookie, to: URL): boolean {
  const sameHost = to.hostname === host || (wide && to.hostname.endsWith(`.${host}`))
  const under = path.endsWith('/') ? path : `${path}/`
  return sameHost && (to.pathname === path || to.pathname.startsWith(under))
}

function keep(cookies: Cookie[], from: URL, line: string): void {
  const [pair = '', ...rest] = line.split(/; */)
  const at = pair.indexOf('=')
  const attributes = new Map(
    rest.map(text => {
      const [name = '', value = ''] = text.split('=')
      return [name.toLowerCase(), value]
    }),
  )
  const domain = attributes.get('domain')?.replace(/^\./, '')
  const cookie: Cookie = {
    name: pair.slice(0, at),
    value: pair.slice(at + 1),
    host: domain ?? from.hostname,
    wide: domain !== undefined,
    path: attributes.get('path') ?? '/',
  }
  const same = cookies.findIndex(
    old => old.name === cookie.name && old.host === cookie.host && old.path === cookie.path,
  )
  if (same !== -1) cookies.splice(same, 1)
  if (attributes.get('max-age') !== '0') cookies.push(cookie)
}
