// The health paths. They are recognised by path and method alone, never by who asks.
import type { IncomingMessage, ServerResponse } from 'node:http'

export interface Readiness {
  ok: boolean
  /** by name of the check: `ok`, or one line that says what is wrong (no secrets: anyone who reaches the port reads it) */
  checks: Record<string, string>
  /** figures and states for people, which decide nothing; no secrets either */
  facts?: Record<string, string>
}

export interface Health {
  /** Answers and returns true when the request is for a health path; otherwise leaves it alone and returns false. */
  handle(request: IncomingMessage, response: ServerResponse): boolean
}

/** A check that hangs must not hang its probe. */
const readyTimeoutMs = 5000

/**
 * `/-/health/live/` answers 200 while the process serves, `/-/health/ready/` 200 or 503 with each check by name; both also without
 * the last slash. Probes that come while one is being answered share its result.
 * @param options.ready a rejection counts as not ready
 */
export function createHealth(options: {
  live?: () => boolean
  ready: () => Promise<Readiness>
  timeoutMs?: number
}): Health {
  const { live = () => true, ready, timeoutMs = readyTimeoutMs } = options
  let asking: Promise<Readiness> | undefined
  const ask = () => {
    asking ??= within(ready, timeoutMs).finally(() => {
      asking = undefined
    })
    return asking
  }
  return {
    handle(request, response) {
      const path = pathOf(request.url ?? '')
      if (path !== '/-/health/live/' && path !== '/-/health/ready/') return false
      if (request.method !== 'GET' && request.method !== 'HEAD') answer(request, response, 405, { ok: false })
      else if (path === '/-/health/live/') answer(request, response, live() ? 200 : 503, { ok: live() })
      else void ask().then(result => answer(request, response, result.ok ? 200 : 503, result))
      return true
    },
  }
}

/** Path of a request URI, a slash added at its end. */
function pathOf(url: string): string {
  const mark = url.indexOf('?')
  const path = mark === -1 ? url : url.slice(0, mark)
  return path.endsWith('/') ? path : `${path}/`
}

async function within(ready: () => Promise<Readiness>, timeoutMs: number): Promise<Readiness> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<Readiness>(resolve => {
    timer = setTimeout(
      () => resolve({ ok: false, checks: { readiness: `no answer within ${timeoutMs} ms` } }),
      timeoutMs,
    )
  })
  try {
    return await Promise.race([ready(), late])
  } catch {
    return { ok: false, checks: { readiness: 'the check itself failed' } }
  } finally {
    clearTimeout(timer)
  }
}

function answer(request: IncomingMessage, response: ServerResponse, status: number, content: object): void {
  const body = `${JSON.stringify(content)}\n`
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...(status === 405 ? { allow: 'GET, HEAD' } : {}),
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}
