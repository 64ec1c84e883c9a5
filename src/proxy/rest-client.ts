// HTTP to Core for an outpost: one small client with time-outs on everything, a bounded answer, no redirects, and failures
// sorted into the few kinds an outpost can act on.
import type { Dispatcher } from 'undici'
import { Agent, buildConnector, request } from '../http/undici.ts'
import { errorText } from '../log.ts'
import { LinkError } from '../wire/link.ts'

export interface RestCall {
  method: 'GET' | 'POST'
  url: URL
  headers: Record<string, string>
  body?: string
}

export interface RestAnswer {
  status: number
  /** parsed JSON, or null when the body was none */
  body: unknown
}

export interface RestClient {
  /** @throws LinkError (kind `unreachable`) when there is no whole answer in time */
  call(call: RestCall): Promise<RestAnswer>
  close(): Promise<void>
}

/** 100 providers of 10 KiB each are a tenth of this. */
const bodyMax = 16 * 1024 * 1024

/**
 * @param options.insecure take any certificate of Core
 * @param options.timeoutMs for the whole of one call; connecting gets half of it
 */
export function createRestClient(options: { insecure: boolean; timeoutMs: number }): RestClient {
  const { insecure, timeoutMs } = options
  const connector = buildConnector({
    rejectUnauthorized: !insecure,
    timeout: Math.ceil(timeoutMs / 2),
    allowH2: false,
  })
  const agent = new Agent({
    // undici takes the TLS name from the Host header, which the back channel sets to the public host: the certificate
    // must be that of the host we really dial.
    connect: (dial, callback) => connector({ ...dial, servername: undefined, host: dial.hostname }, callback),
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    connections: 8,
    pipelining: 1,
  })
  let closed = false

  return {
    call: async ({ method, url, headers, body }) => {
      const what = `${method} ${url.origin}${url.pathname}`
      if (closed) throw new LinkError('unreachable', `${what}: the link is closed`)
      if (url.protocol !== 'http:' && url.protocol !== 'https:')
        throw new LinkError('unreachable', `${what}: only http and https addresses can be called`)
      const signal = AbortSignal.timeout(timeoutMs)
      try {
        const { origin, pathname, search } = url
        const answer = await request.call(agent, {
          origin,
          path: pathname + search,
          method,
          headers,
          body,
          signal,
        })
        return { status: answer.statusCode, body: await readJson(answer.body) }
      } catch (error) {
        const cause = signal.aborted ? `no answer within ${timeoutMs} ms` : errorText(error)
        throw new LinkError('unreachable', `${what}: ${cause}`, { cause: error })
      }
    },
    close: async () => {
      closed = true
      await agent.destroy()
    },
  }
}

async function readJson(body: Dispatcher.ResponseData['body']): Promise<unknown> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of body) {
    length += chunk.length
    if (length > bodyMax) throw new Error(`the answer is longer than ${bodyMax} bytes`)
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    return null
  }
}
