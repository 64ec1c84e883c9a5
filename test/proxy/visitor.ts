// A person among many: signs in at Core by the real flow, reads pages through the balancer, keeps a WebSocket open, and writes down every
// answer that is not the page.
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'

export interface Visited {
  status: number
  location: string
  body: string
  cleared: string[]
}

export interface Visitor {
  readonly name: string
  /** Goes through the login until the page is there; outages on the way are waited out. @throws Error when it does not get there */
  signIn(): Promise<void>
  /** One page. @param port of the outpost to ask; default: the application's own */
  read(port?: number): Promise<Visited>
  /** Signs out at an outpost, and there alone: the session in Core goes on. */
  signOut(port?: number): Promise<Visited>
  /** Another tab with the cookies of now; what happens here is not seen there. */
  copy(): Visitor
  /** Opens a WebSocket and has one message echoed. @returns 101, or the status of the refusal, or 502 when it broke */
  talk(): Promise<number>
}

const flow = 'default-authentication-flow'
/** When more want to sign in than passwords can be hashed, some are told to come back. */
const patienceMs = 200_000

/**
 * @param about.application origin of the application, served by the balancer
 * @param about.core origin of Core
 * @param cookies to begin with, by host
 * @param about.address told to Core as the client's, since it counts attempts under way by address
 */
export function createVisitor(
  about: { name: string; password: string; address: string; application: string; core: string },
  cookies: Map<string, Map<string, string>> = new Map(),
): Visitor {
  const jars = new Map([...cookies].map(([host, jar]) => [host, new Map(jar)]))

  async function call(method: string, text: string, body?: object, port?: number): Promise<Visited> {
    const url = new URL(text)
    const jar = jars.get(url.hostname) ?? new Map<string, string>()
    jars.set(url.hostname, jar)
    const csrf = jar.get('authentik_csrf')
    const reply = await ask(
      method,
      url,
      {
        accept: body === undefined ? 'text/html' : 'application/json',
        'sec-fetch-mode': body === undefined ? 'navigate' : 'same-origin',
        ...(jar.size === 0 ? {} : { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') }),
        ...(url.origin === about.core ? { 'x-forwarded-for': about.address } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/json', origin: about.core }),
        ...(body === undefined || csrf === undefined ? {} : { 'x-authentik-csrf': csrf }),
      },
      body,
      port,
    )
    for (const line of reply.cookies) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (/; Max-Age=0/.test(line)) jar.delete(name)
      else jar.set(name, value)
    }
    const cleared = reply.cookies.filter(line => /^authentik_proxy_[0-9a-f]{8}=; .*Max-Age=0/.test(line))
    return { ...reply, cleared }
  }

  /** The walk of a login from one address; null when an outage came between. */
  async function walk(start: string): Promise<string | null> {
    let url = start
    for (let hop = 0; hop < 12; hop++) {
      const reply = await call('GET', url)
      if (reply.status >= 500) return null
      if (reply.status === 200 && new URL(url).origin === about.application) return url
      if (reply.status === 200) {
        const answer = {
          component: 'ak-stage-identification',
          uid_field: about.name,
          password: about.password,
        }
        const query = new URL(url).search.slice(1)
        const executor = `${about.core}/api/v3/flows/executor/${flow}/?query=${encodeURIComponent(query)}`
        const judged = await call('POST', executor, answer)
        if (judged.status >= 500) return null
        const challenge = JSON.parse(judged.body) as { component: string; to?: string }
        if (challenge.component !== 'xak-flow-redirect') throw new Error(`the flow said ${judged.body}`)
        url = new URL(challenge.to ?? '', about.core).href
      } else if (reply.status === 302) url = new URL(reply.location, url).href
      else return null // a page that says what is wrong and offers to try again
    }
    throw new Error(`${about.name} went in a circle, last to ${url}`)
  }

  return {
    name: about.name,
    async signIn() {
      for (const end = Date.now() + patienceMs; Date.now() < end; ) {
        if ((await walk(`${about.application}/page?of=${about.name}`).catch(lost)) !== null) return
        await sleep(250 + Math.random() * 500)
      }
      throw new Error(`${about.name} could not sign in`)
    },
    read: port =>
      call('GET', `${about.application}/page?of=${about.name}`, undefined, port).catch(() => broken),
    signOut: port =>
      call('GET', `${about.application}/outpost.goauthentik.io/sign_out`, undefined, port).catch(
        () => broken,
      ),
    copy: () => createVisitor(about, jars),
    talk: () =>
      new Promise(resolve => {
        const url = new URL('/socket', about.application)
        const jar = jars.get(url.hostname) ?? new Map<string, string>()
        const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
        const socket = new WebSocket(`ws://127.0.0.1:${url.port}/socket`, {
          headers: { host: url.host, cookie },
          handshakeTimeout: 10_000,
        })
        socket.on('open', () => socket.send('hello'))
        socket.on('message', () => {
          resolve(101)
          socket.terminate()
        })
        socket.on('unexpected-response', (request, { statusCode = 0 }) => {
          resolve(statusCode)
          request.destroy()
        })
        socket.on('error', () => resolve(502))
        socket.on('close', () => resolve(502))
      }),
  }
}

const broken: Visited = { status: 502, location: '', body: '', cleared: [] }

/** A connection that broke is an outage like any other; everything else is a defect. */
function lost(error: unknown): null {
  if (error instanceof Error && 'code' in error) return null
  throw error
}

function ask(
  method: string,
  url: URL,
  headers: Record<string, string>,
  body?: object,
  at?: number,
): Promise<{ status: number; location: string; body: string; cookies: string[] }> {
  const { port, host, pathname, search } = url
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: at ?? port, method, path: pathname + search, agent: false }
    const request = http.request({ ...options, headers: { host, ...headers } }, reply => {
      let text = ''
      reply.setEncoding('utf8').on('data', chunk => {
        text += chunk
      })
      reply.on('error', reject)
      reply.on('end', () => {
        const { statusCode: status = 0, headers: got } = reply
        resolve({ status, location: got.location ?? '', body: text, cookies: got['set-cookie'] ?? [] })
      })
    })
    request.on('error', reject)
    request.end(body === undefined ? undefined : JSON.stringify(body))
  })
}
