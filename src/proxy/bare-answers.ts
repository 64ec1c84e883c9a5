// Answers to requests that have no application yet: nothing is known about who asks, so nothing but the status is told.
import type { ServerResponse } from 'node:http'

/**
 * Nothing is known yet: nobody gets through, and Core's own pages are not ours to hold up.
 * @returns whether it was answered
 */
export function answerStarting(res: ServerResponse, isCores: boolean): boolean {
  if (isCores) return false
  return answerPlain(res, 503, 'the outpost has no configuration yet\n', ['Retry-After', '5'])
}

/** 400 in the form that programs and operators look for; always true. */
export function answerUnknownHost(res: ServerResponse, host: string): boolean {
  const message = {
    Message: 'no app for hostname',
    Host: host,
    Detail: `Check the outpost settings and make sure '${host}' is included.`,
  }
  return answerPlain(res, 400, `${JSON.stringify(message, null, '\t')}\n`, [], 'application/json')
}

/** A short answer as it is; always true. */
export function answerPlain(
  res: ServerResponse,
  status: number,
  body: string,
  headers: string[] = [],
  type = 'text/plain; charset=utf-8',
): boolean {
  headers.push('Content-Type', type, 'X-Content-Type-Options', 'nosniff', 'Cache-Control', 'no-store')
  res.writeHead(status, [...headers, 'Content-Length', String(Buffer.byteLength(body))])
  res.end(body)
  return true
}
